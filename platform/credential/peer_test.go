package credential_test

import (
	"crypto/tls"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spotserve/spotserve/platform/credential"
)

// connected are the two ends of a connection.
func connected(t *testing.T) (l, r net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if l, err = net.Dial("tcp", listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if r, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	return l, r
}

// meet has a client and a server say a word to each other over TLS, and returns
// what each says of it.
func meet(t *testing.T, client, server *tls.Config) (seen tls.ConnectionState, clientErr, serverErr error) {
	t.Helper()
	l, r := connected(t)
	deadline := time.Now().Add(20 * time.Second)
	_, _ = l.SetDeadline(deadline), r.SetDeadline(deadline)
	c, s := tls.Client(l, client), tls.Server(r, server)
	served := make(chan error, 1)
	go func() {
		defer r.Close()
		err := s.Handshake()
		if err == nil {
			_, err = s.Write([]byte("x"))
		}
		served <- err
	}()
	clientErr = c.Handshake()
	if clientErr == nil {
		_, clientErr = io.ReadFull(c, make([]byte, 1)) // a server refuses after a client's handshake
	}
	_ = l.Close()
	serverErr = <-served
	return s.ConnectionState(), clientErr, serverErr
}

func peer(t *testing.T, f credential.Files, node string) credential.Peer {
	t.Helper()
	p, err := f.Peer(node)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPeers(t *testing.T) {
	const odd = "ip-10.0.0.1/ü%2E" // what a URI and a subject both have to escape
	a := newAuthority(t)
	first := peer(t, a.pair("first", time.Time{}, time.Time{}, credential.WorkerID("node-0")), "node-0")
	for _, node := range []string{"node-1", odd} {
		second := peer(t, a.pair("second", time.Time{}, time.Time{}, credential.WorkerID(node)), node)
		seen, clientErr, serverErr := meet(t, first.Client(node), second.Server)
		if clientErr != nil || serverErr != nil {
			t.Fatalf("node-0 to %s: %v, %v", node, clientErr, serverErr)
		}
		if seen.Version != tls.VersionTLS13 {
			t.Errorf("version %#x; want TLS 1.3", seen.Version)
		}
		if nodes, err := credential.CertifiedNodes(seen); err != nil || !slices.Equal(nodes, []string{"node-0"}) {
			t.Errorf("the server sees %q, %v; want node-0", nodes, err)
		}
		seen, clientErr, serverErr = meet(t, second.Client("node-0"), first.Server)
		if nodes, err := credential.CertifiedNodes(seen); clientErr != nil || serverErr != nil || err != nil || !slices.Equal(nodes, []string{node}) {
			t.Errorf("%s to node-0: %v, %v; the server sees %q, %v", node, clientErr, serverErr, nodes, err)
		}
	}
}

// Nobody but a worker with a certificate gets in, and nobody answers for another
// node.
func TestPeersAreRefused(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	good := peer(t, a.pair("good", time.Time{}, time.Time{}, credential.WorkerID("node-0")), "node-0")
	foreign := peer(t, other.pair("foreign", time.Time{}, time.Time{}, credential.WorkerID("node-1")), "node-1")
	planner, err := a.pair("planner", time.Time{}, time.Time{}, credential.RoleID("planner")).Client()
	if err != nil {
		t.Fatal(err)
	}
	planner.InsecureSkipVerify = true // the server is to refuse, not this side
	bare := &tls.Config{InsecureSkipVerify: true}
	old := good.Client("node-0").Clone()
	old.MaxVersion, old.MinVersion = tls.VersionTLS12, tls.VersionTLS12
	expiring := a.pair("expired", time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour), credential.WorkerID("node-2"))
	expired, err := tls.LoadX509KeyPair(expiring.Cert, expiring.Key)
	if err != nil {
		t.Fatal(err)
	}
	late := &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{expired}}
	for name, tt := range map[string]struct {
		client, server *tls.Config
		byServer       bool
	}{
		"no certificate":         {bare, good.Server, true},
		"another role":           {planner, good.Server, true},
		"another authority":      {foreign.Client("node-0"), good.Server, false},
		"an old protocol":        {old, good.Server, true},
		"an expired certificate": {late, good.Server, true},
		"an expired server":      {good.Client("node-2"), late, false},
		"another node answers":   {good.Client("node-1"), good.Server, false},
		"a stranger answers":     {good.Client("node-1"), foreign.Server, false},
	} {
		t.Run(name, func(t *testing.T) {
			_, clientErr, serverErr := meet(t, tt.client, tt.server)
			if clientErr == nil {
				t.Error("the client goes on")
			}
			if tt.byServer && serverErr == nil {
				t.Error("the server goes on")
			}
		})
	}
}

func TestPeerNeedsItsOwnCertificate(t *testing.T) {
	a := newAuthority(t)
	files := a.worker("node-0")
	for node, f := range map[string]credential.Files{
		"node-1": files, "node-2": {CA: files.CA}, "node-3": {},
		"node-4": {CA: files.CA, Cert: files.Cert, Key: os.DevNull},
	} {
		if _, err := f.Peer(node); err == nil || !strings.Contains(err.Error(), "--tls-") {
			t.Errorf("%s: got %v; want what is missing", node, err)
		}
	}
}
