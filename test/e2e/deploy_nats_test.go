//go:build unix

package e2e

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spotserve/spotserve/platform/linktest"
	"github.com/spotserve/spotserve/test/internal/program"
)

// natsProcess is a NATS server with the configuration of deploy/nats.
type natsProcess struct {
	*program.Process
	dir     string // with its configuration and its credentials
	url     string
	cluster string // host:port for the others; empty for a server on its own
	monitor string
}

// startDeployedNATS starts a server on its own, or a cluster, and waits until all
// are healthy: they know each other and their streams.
func startDeployedNATS(t *testing.T, keys string, n int) []natsProcess {
	t.Helper()
	at := freeAddresses(t, 3*n)
	var routes []string
	for _, a := range at[:n] {
		routes = append(routes, "nats://"+a)
	}
	servers := make([]natsProcess, n)
	for i := range servers {
		dir := natsFolder(t, keys)
		s := natsProcess{dir: dir, url: "tls://" + at[n+i], monitor: at[2*n+i]}
		conf := "single.conf"
		env := []string{
			fmt.Sprintf("NATS_NAME=nats-%d", i), "NATS_LISTEN=" + at[n+i], "NATS_MONITOR=" + s.monitor,
			"NATS_STORE=" + filepath.Join(t.TempDir(), "store"), "NATS_MAX_STORE=1GB",
		}
		if n > 1 {
			conf, s.cluster = "nats-server.conf", at[i]
			env = append(env, "NATS_CLUSTER_LISTEN="+s.cluster, "NATS_ROUTES=["+strings.Join(routes, ",")+"]")
		}
		if exit := program.Run(t, dir, env, natsServer(t), "-t", "-c", conf); exit.Code != 0 || !strings.Contains(exit.Stderr, "is valid") {
			t.Fatalf("nats-server says of %s: exit code %d\n%s", conf, exit.Code, exit.Stderr)
		}
		s.Process = program.Start(t, dir, env, natsServer(t), "-c", conf)
		servers[i] = s
	}
	for _, s := range servers {
		s.awaitHealth(t)
	}
	return servers
}

// natsFolder is a folder with what a NATS server reads.
func natsFolder(t *testing.T, keys string) string {
	t.Helper()
	dir := t.TempDir()
	for _, from := range []string{filepath.Join(keys, "nats"), deployed(t, "nats")} {
		if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func (s natsProcess) awaitHealth(t *testing.T) {
	t.Helper()
	timeout := time.After(2 * time.Minute)
	for {
		r, err := http.Get("http://" + s.monitor + "/healthz")
		if err == nil {
			_ = r.Body.Close()
			if r.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-timeout:
			t.Fatalf("%s does not get healthy: %v\n%s", s.url, err, s.Stderr.String())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// freeAddresses are addresses on which nothing listens now.
func freeAddresses(t *testing.T, n int) []string {
	t.Helper()
	found := linktest.Unused(t, n)
	for i, address := range found {
		found[i] = strings.Replace(address, "127.0.0.1", "localhost", 1) // the name that is certified
	}
	return found
}

// TestDeployedNATS: three servers find each other, write each message to the disk,
// and let in whom they should.
func TestDeployedNATS(t *testing.T) {
	t.Parallel()
	keys := deployKeys(t)
	servers := startDeployedNATS(t, keys, 3)
	var info struct {
		Config struct {
			SyncAlways bool `json:"sync_always"`
		} `json:"config"`
		Meta struct {
			Size int `json:"cluster_size"`
		} `json:"meta_cluster"`
	}
	r, err := http.Get("http://" + servers[0].monitor + "/jsz")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if err := json.NewDecoder(r.Body).Decode(&info); err != nil || !info.Config.SyncAlways || info.Meta.Size != 3 {
		t.Errorf("the server has %+v, %v; want a cluster of 3 that writes always", info, err)
	}

	t.Run("clients", func(t *testing.T) {
		at := strings.TrimPrefix(servers[0].url, "tls://")
		if err := greet(at, clientTLS(t, keys, "operator")); err != nil {
			t.Errorf("the operator's certificate: %v", err)
		}
		if err := greet(at, clientTLS(t, keys, "")); err == nil {
			t.Error("a client without a certificate is let in")
		}
		old := clientTLS(t, keys, "operator")
		old.MaxVersion = tls.VersionTLS12
		if err := greet(at, old); err == nil {
			t.Error("TLS 1.2 is spoken")
		}
		if err := greet(at, clientTLS(t, deployKeys(t), "operator")); err == nil {
			t.Error("a certificate of another authority is taken")
		}
	})
	// A worker has a certificate of the same authority. Were it enough for a
	// route, a node could be a NATS server, to which no permission applies.
	t.Run("routes", func(t *testing.T) {
		for role, want := range map[string]bool{"worker-node-0": false, "operator": false, "nats": true} {
			if got, said := joins(t, servers[0].cluster, clientTLS(t, keys, role)); got != want {
				t.Errorf("the certificate of %s makes a route: %t, want %t: %s", role, got, want, said)
			}
		}
	})
}

// clientTLS shows the certificate of a role, or none, and does not look whom it
// talks to.
func clientTLS(t *testing.T, keys, role string) *tls.Config {
	t.Helper()
	c := &tls.Config{InsecureSkipVerify: true} //nolint:gosec // the server's refusal is what is tested
	if role == "" {
		return c
	}
	name := "tls"
	if role == "nats" {
		name = "server"
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(keys, role, name+".crt"), filepath.Join(keys, role, name+".key"))
	if err != nil {
		t.Fatal(err)
	}
	c.Certificates = []tls.Certificate{pair}
	// Shown whatever the server asks for.
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	return c
}

// upgrade reads a server's INFO and goes on in TLS.
func upgrade(address string, c *tls.Config) (*tls.Conn, *bufio.Reader, error) {
	plain, err := net.Dial("tcp", address)
	if err != nil {
		return nil, nil, err
	}
	_ = plain.SetDeadline(time.Now().Add(time.Minute))
	line, err := bufio.NewReaderSize(plain, 1<<16).ReadBytes('\n')
	if err != nil || !bytes.HasPrefix(line, []byte("INFO ")) {
		return nil, nil, fmt.Errorf("INFO: %q, %w", line, err)
	}
	conn := tls.Client(plain, c)
	err = conn.Handshake()
	return conn, bufio.NewReaderSize(conn, 1<<16), err
}

// greet reports whether the server answers a client in TLS, be it with a refusal
// of the user.
func greet(address string, c *tls.Config) error {
	conn, reader, err := upgrade(address, c)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("CONNECT {\"verbose\":true}\r\n")); err != nil {
		return err
	}
	_, err = reader.ReadBytes('\n')
	return err
}

// joins reports whether the server takes a peer for a route of its cluster.
func joins(t *testing.T, address string, c *tls.Config) (joined bool, said string) {
	t.Helper()
	plain, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	_ = plain.SetDeadline(time.Now().Add(time.Minute))
	conn := tls.Client(plain, c) // a route begins in TLS
	defer conn.Close()
	if err := conn.Handshake(); err != nil {
		return false, err.Error()
	}
	_, err = conn.Write([]byte("CONNECT {\"name\":\"intruder\",\"cluster\":\"spotserve\",\"headers\":true,\"lnoc\":true}\r\nPING\r\n"))
	reader := bufio.NewReaderSize(conn, 1<<16)
	for err == nil {
		var line []byte
		if line, err = reader.ReadBytes('\n'); bytes.HasPrefix(line, []byte("PONG")) {
			return true, said
		}
		said += string(line)
	}
	return false, said + err.Error()
}
