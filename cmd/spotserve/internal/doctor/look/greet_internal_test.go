package look

import (
	"context"
	"crypto/tls"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spotserve/spotserve/cmd/spotserve/internal/doctor"
	"github.com/spotserve/spotserve/cmd/spotserve/internal/doctor/look/looktest"
	"github.com/spotserve/spotserve/platform/access"
	"github.com/spotserve/spotserve/platform/credential"
)

// TestGreet: a data plane is who its certificate says, whatever it listens on.
func TestGreet(t *testing.T) {
	t.Parallel()
	ours, others := looktest.NewAuthority(t), looktest.NewAuthority(t)
	id := credential.WorkerID("node-a").String()
	const long = 1000 * time.Hour
	for _, c := range []struct {
		name        string
		address     string
		status      doctor.Status
		found, mend string
	}{
		{"well", plane(t, ours.Pair("x", id, time.Hour, long)), doctor.OK, "answers with the node's certificate", ""},
		{"another node", plane(t, ours.Pair("x", credential.WorkerID("node-b").String(), time.Hour, long)), doctor.Failed, "worker/node-b", "with its own certificate"},
		{"another role", plane(t, ours.Pair("x", credential.RoleID("planner").String(), time.Hour, long)), doctor.Failed, "planner", "with its own certificate"},
		{"another authority", plane(t, others.Pair("x", id, time.Hour, long)), doctor.Failed, "unknown authority", "with its own certificate"},
		{"plain text", deaf(t), doctor.Failed, "does not speak TLS", "with its own certificate"},
		{"away", looktest.Closed(t), doctor.Failed, "connection refused", "--data-listen"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			p := doctor.Plane{Node: "node-a", Address: c.address, Wanted: true}
			greet(ctx, &p, credential.Files{CA: ours.File})
			r := doctor.Judge(doctor.Seen{Servers: []doctor.Server{{URL: "x", Version: "2.11", Loopback: true}}, Planes: []doctor.Plane{p}})
			if !slices.ContainsFunc(r.Findings, func(f doctor.Finding) bool {
				return f.Check == "data plane node-a" && f.Status == c.status && strings.Contains(f.Found, c.found) && strings.Contains(f.Mend, c.mend)
			}) {
				t.Errorf("%+v; want %s, %q, %q", r.Findings, c.status, c.found, c.mend)
			}
		})
	}
}

// plane serves as the data plane of a worker does that shows a certificate.
func plane(t *testing.T, pair tls.Certificate) (address string) {
	t.Helper()
	config := &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAnyClientCert}
	return serve(t, func(conn net.Conn) {
		_ = tls.Server(conn, config).HandshakeContext(t.Context()) // it fails: whoever looks is no worker
	})
}

// deaf is a data plane without TLS: it takes what it is sent for a broken greeting.
func deaf(t *testing.T) (address string) {
	t.Helper()
	return serve(t, func(conn net.Conn) { _, _ = conn.Write([]byte("SPOT, and no TLS")) }) // whoever looks may be gone
}

func serve(t *testing.T, each func(net.Conn)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() }) // it ends the loop
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			each(conn)
			_ = conn.Close() // whoever looks may be gone
		}
	}()
	return l.Addr().String()
}

// TestNodeOfAKey: the address book's key of a node is read back.
func TestNodeOfAKey(t *testing.T) {
	for _, node := range []string{"node-0", "ip-10-0-0-1.ec2.internal", "50%", "a=b"} {
		if got := nodeOf(access.AddressKey(node)); got != node {
			t.Errorf("the key of %q is read as that of %q", node, got)
		}
	}
}
