package dataplane_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spotserve/spotserve/engine/dataplane"
	"github.com/spotserve/spotserve/engine/dataplane/planetest"
)

// secured sets the security of a node or a client.
func secured(s *dataplane.Security) func(*dataplane.Options) {
	return func(o *dataplane.Options) { o.Security = s }
}

func counted(r *dataplane.Refusals) func(*dataplane.Options) {
	return func(o *dataplane.Options) { o.Refusals = r }
}

func textLog(j *journal) *slog.Logger { return slog.New(slog.NewTextHandler(j, nil)) }

// journal is the log of refusals.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// await returns when cond holds.
func await(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !cond(); {
		if time.Now().After(end) {
			t.Fatalf("waited in vain until %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// Everything that a data plane says goes through TLS: what passes on the wire has
// neither its frames nor what they carry.
func TestNothingPassesInTheClear(t *testing.T) {
	ca := planetest.NewAuthority(t)
	r := newRig(t)
	held := newHolder()
	secret := bytes.Repeat([]byte("the weights of a model. "), 100_000)
	held.items[weights(0, 0)] = secret
	peers := placed(2, 1)
	var sent [2]journal
	var meshes []*dataplane.Mesh
	for _, p := range peers {
		s := r.node(p.Node, secured(ca.Security(p.Node)), held.provide)
		meshes = append(meshes, r.join(s, epoch, peers))
		r.publish(p.Node, tap(t, s.Addr(), &sent))
	}
	c := r.client(secured(ca.Security("client")))
	dst := make([]byte, len(secret))
	if err := c.Fetch(t.Context(), "n0", run, weights(0, 0), dst); err != nil || !bytes.Equal(dst, secret) {
		t.Fatalf("%v, right bytes: %t", err, bytes.Equal(dst, secret))
	}
	if n, err := c.Held(t.Context(), "n1", run, []dataplane.Item{weights(0, 0)}); err != nil || n[0] != 1 {
		t.Errorf("held: %v, %v", n, err)
	}
	rows := make([]float32, 70_000)
	for i := range rows {
		rows[i] = float32(i)
	}
	if err := meshes[0].Send(t.Context(), 0, peers[1], step(1), dataplane.Work, []byte("the head of a step"), rows); err != nil {
		t.Fatal(err)
	}
	if m := accept(t, meshes[1], 0); string(m.Head) != "the head of a step" || !sameBits(m.Rows, rows) {
		t.Errorf("got %q and %d rows", m.Head, len(m.Rows))
	}
	for way := range sent {
		text := sent[way].String()
		if !strings.HasPrefix(text, "\x16\x03") {
			t.Errorf("direction %d begins with % x, not with a handshake", way, text[:min(len(text), 8)])
		}
		for _, plain := range []string{"SSD\x01", "weights", run, "the head"} {
			if strings.Contains(text, plain) {
				t.Errorf("direction %d has %q in the clear", way, plain)
			}
		}
	}
}

// tap passes connections on to target, and keeps what goes there and comes back.
func tap(t *testing.T, target string, sent *[2]journal) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", target)
			if err != nil {
				_ = client.Close()
				continue
			}
			for way, conns := range [2][2]net.Conn{{server, client}, {client, server}} {
				wg.Go(func() { _, _ = io.Copy(io.MultiWriter(conns[0], &sent[way]), conns[1]) })
			}
			wg.Go(func() {
				<-done
				_, _ = client.Close(), server.Close()
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		close(done)
		wg.Wait()
	})
	return l.Addr().String()
}

// asked counts how often an item was asked for.
type asked struct {
	*holder
	times atomic.Int64
}

func (a *asked) Open(run string, item dataplane.Item) ([]byte, func(), error) {
	a.times.Add(1)
	return a.holder.Open(run, item)
}

func (a *asked) Held(run string, item dataplane.Item) int {
	a.times.Add(1)
	return a.holder.Held(run, item)
}

// A server that requires TLS takes nothing from who is no worker of its deployment,
// counts each, and says once who it was.
func TestStrangersAreRefused(t *testing.T) {
	ca, other := planetest.NewAuthority(t), planetest.NewAuthority(t)
	good := ca.Security("b")
	hour := time.Now().Add(time.Hour)
	// shows is a client that trusts the server and shows a certificate.
	shows := func(pair *tls.Certificate) *dataplane.Security {
		return ca.Show(func() *tls.Certificate { return pair })
	}
	old := shows(ca.Issue(hour, "worker/b"))
	for name, c := range map[string]struct {
		client *dataplane.Security
		cause  dataplane.Cause
		says   string // to the log of the server
	}{
		"no certificate":           {shows(nil), dataplane.BadCertificate, "didn't provide a certificate"},
		"of another CA":            {shows(other.Issue(hour, "worker/b")), dataplane.BadCertificate, "unknown authority"},
		"expired":                  {shows(ca.Issue(time.Now().Add(-time.Hour), "worker/b")), dataplane.BadCertificate, "expired"},
		"of a planner":             {shows(ca.Issue(hour, "planner")), dataplane.BadCertificate, "not a worker's"},
		"of nobody":                {shows(ca.Issue(hour)), dataplane.BadCertificate, "not a worker's"},
		"no TLS":                   {nil, dataplane.NotTLS, "not look like a TLS handshake"},
		"an older TLS":             {old, dataplane.BadHandshake, "unsupported versions"},
		"who trusts somebody else": {other.Security("b"), dataplane.BadHandshake, "remote error"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			var log journal
			refusals := dataplane.NewRefusals(textLog(&log))
			held := &asked{holder: newHolder()}
			held.items[weights(0, 0)] = []byte("abcd")
			s := r.node("a", secured(ca.Security("a")), counted(refusals), func(o *dataplane.Options) { o.Provider = held })
			const attempts = 3
			if c.client == old {
				for range attempts {
					conn, err := tls.Dial("tcp", s.Addr(), &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12})
					if err == nil {
						t.Error("a handshake of TLS 1.2")
						_ = conn.Close()
					}
				}
			} else {
				client := r.client(secured(c.client), func(o *dataplane.Options) { o.Attempts = attempts })
				dst := make([]byte, 4)
				if err := client.Fetch(t.Context(), "a", run, weights(0, 0), dst); err == nil || string(dst) == "abcd" {
					t.Errorf("fetched %q, %v", dst, err)
				}
			}
			await(t, "all were refused", func() bool { return refusals.Counts()[c.cause] == attempts })
			if n := held.times.Load(); n != 0 {
				t.Errorf("the provider was asked %d times", n)
			}
			if n := len(refusals.Counts()); n != 1 {
				t.Errorf("counts are %v", refusals.Counts())
			}
			said := log.String()
			if strings.Count(said, "refuses a connection") != 1 || !strings.Contains(said, c.says) || !strings.Contains(said, "peer=127.0.0.1:") {
				t.Errorf("the log says\n%swant %q, and the peer's address, once", said, c.says)
			}
			// Who may, still can.
			dst := make([]byte, 4)
			if err := r.client(secured(good)).Fetch(t.Context(), "a", run, weights(0, 0), dst); err != nil {
				t.Error(err)
			}
		})
	}
}

// Who dials says nothing to whoever is not the node that it wants.
func TestWrongServersAreRefused(t *testing.T) {
	ca, other := planetest.NewAuthority(t), planetest.NewAuthority(t)
	hour := time.Now().Add(time.Hour)
	serves := func(pair *tls.Certificate) *dataplane.Security {
		return ca.Show(func() *tls.Certificate { return pair })
	}
	for name, c := range map[string]struct {
		server *dataplane.Security
		cause  dataplane.Cause
		want   error
		says   string
	}{
		"another node":   {ca.Security("b"), dataplane.WrongNode, dataplane.ErrWrongNode, `its certificate is for ["b"], dialled is a`},
		"a planner":      {serves(ca.Issue(hour, "planner")), dataplane.BadCertificate, nil, "not a worker's"},
		"of another CA":  {serves(other.Issue(hour, "worker/a")), dataplane.BadCertificate, nil, "unknown authority"},
		"expired":        {serves(ca.Issue(time.Now().Add(-time.Hour), "worker/a")), dataplane.BadCertificate, nil, "expired"},
		"without TLS":    {nil, dataplane.NotTLS, nil, "does not look like a TLS handshake"},
		"no certificate": {serves(nil), dataplane.BadHandshake, nil, "remote error"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			held := &asked{holder: newHolder()}
			held.items[weights(0, 0)] = []byte("abcd")
			s := r.node("b", secured(c.server), func(o *dataplane.Options) { o.Provider = held; o.Timeout = time.Second })
			r.publish("a", s.Addr())
			var log journal
			refusals := dataplane.NewRefusals(textLog(&log))
			client := r.client(secured(ca.Security("client")), counted(refusals), func(o *dataplane.Options) { o.Attempts = 2 })
			err := client.Fetch(t.Context(), "a", run, weights(0, 0), make([]byte, 4))
			if err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), s.Addr()) {
				t.Errorf("got %v, want %q and the address", err, c.says)
			}
			if n := held.times.Load(); n != 0 {
				t.Errorf("the provider was asked %d times", n)
			}
			if got := refusals.Counts()[c.cause]; got != 2 || !strings.Contains(log.String(), "node=a") {
				t.Errorf("counts are %v, the log is\n%s", refusals.Counts(), log.String())
			}
		})
	}
}

// A worker joins a mesh as the node of its certificate and as no other.
func TestNodesAreThoseOfTheirCertificates(t *testing.T) {
	ca := planetest.NewAuthority(t)
	r := newRig(t)
	peers := placed(3, 1)
	var log journal
	refusals := dataplane.NewRefusals(textLog(&log))
	both := ca.Issue(time.Now().Add(time.Hour), "worker/n2", "worker/n9")
	var meshes []*dataplane.Mesh
	for i, security := range []*dataplane.Security{
		ca.Security("n0"), ca.Security("n9"), ca.Show(func() *tls.Certificate { return both }),
	} {
		s := r.node(peers[i].Node, secured(security), counted(refusals))
		meshes = append(meshes, r.join(s, epoch, peers))
	}
	err := meshes[1].Send(t.Context(), 0, peers[0], step(1), dataplane.Work, nil, nil)
	if !errors.Is(err, dataplane.ErrWrongNode) || !strings.Contains(err.Error(), `it says it is n1, its certificate is for ["n9"]`) {
		t.Errorf("got %v", err)
	}
	if n := refusals.Counts()[dataplane.WrongNode]; n != 1 || !strings.Contains(log.String(), "node=n9") {
		t.Errorf("counted were %d; the log is\n%s", n, log.String())
	}
	send(t, meshes[2], 0, peers[0], step(2), dataplane.Work, "n2")
	if m := accept(t, meshes[0], 0); string(m.Head) != "n2" {
		t.Errorf("got %q", m.Head)
	}
}

// A certificate that is replaced counts from the next connection on, without a new
// process, at both ends; who holds an expired one is out until then.
func TestRotation(t *testing.T) {
	ca := planetest.NewAuthority(t)
	r := newRig(t)
	held := newHolder()
	held.items[weights(0, 0)] = []byte("abcd")
	var pairs [2]atomic.Pointer[tls.Certificate]
	issue := func(i int, until time.Time) { pairs[i].Store(ca.Issue(until, "worker/"+[]string{"a", "client"}[i])) }
	for i := range pairs {
		issue(i, time.Now().Add(time.Hour))
	}
	s := r.node("a", secured(ca.Show(pairs[0].Load)), held.provide)
	fetch := func() error {
		// A client of its own has no connection of before.
		c := r.client(secured(ca.Show(pairs[1].Load)), func(o *dataplane.Options) { o.Attempts = 1 })
		return c.Fetch(t.Context(), "a", run, weights(0, 0), make([]byte, 4))
	}
	serial := func() string {
		conn, err := tls.Dial("tcp", s.Addr(), ca.Show(pairs[1].Load).Client("a"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	before := serial()
	for i := range pairs {
		if err := fetch(); err != nil {
			t.Fatal(err)
		}
		issue(i, time.Now().Add(-time.Minute))
		if err := fetch(); err == nil {
			t.Errorf("fetched with the expired certificate of side %d", i)
		}
		issue(i, time.Now().Add(time.Hour))
		if err := fetch(); err != nil {
			t.Errorf("with a new certificate: %v", err)
		}
	}
	if after := serial(); after == before {
		t.Errorf("the server shows certificate %s as before", after)
	}
}

// Bits that flip and connections that are cut under TLS cost time, not bytes.
func TestSecureFetchSurvivesFaults(t *testing.T) {
	ca := planetest.NewAuthority(t)
	data := pattern(dataplane.ChunkBytes+100, 1)
	random := rand.New(rand.NewPCG(8, 9))
	short := func(o *dataplane.Options) { o.Timeout, o.Attempts = 500*time.Millisecond, 20 }
	node := func(o *dataplane.Options) {
		o.Security = ca.Security(map[bool]string{true: "a", false: "client"}[o.Node == "a"])
	}
	for range 4 {
		for name, f := range map[string]fault{
			"cut":       {cutUp: -1, cutDown: random.IntN(len(data)), flipUp: -1, flipDown: -1, hangDown: -1},
			"flip":      {cutUp: -1, cutDown: -1, flipUp: -1, flipDown: random.IntN(len(data)), hangDown: -1},
			"cut up":    {cutUp: random.IntN(2000), cutDown: -1, flipUp: -1, flipDown: -1, hangDown: -1},
			"flip up":   {cutUp: -1, cutDown: -1, flipUp: random.IntN(2000), flipDown: -1, hangDown: -1},
			"hang":      {cutUp: -1, cutDown: -1, flipUp: -1, flipDown: -1, hangDown: random.IntN(len(data))},
			"handshake": {cutUp: -1, cutDown: random.IntN(1000), flipUp: -1, flipDown: -1, hangDown: -1},
		} {
			c, _ := faulty(t, data, first(f), node, short)
			dst := make([]byte, len(data))
			if err := c.Fetch(t.Context(), "a", run, weights(0, 0), dst); err != nil || !bytes.Equal(dst, data) {
				t.Fatalf("%s, %+v: %v, right bytes: %t", name, f, err, bytes.Equal(dst, data))
			}
		}
	}
}

// Sums under TLS have the bits of sums without.
func TestSecureSum(t *testing.T) {
	ca := planetest.NewAuthority(t)
	r := newRig(t)
	peers := placed(4, 1)
	var meshes []*dataplane.Mesh
	for _, p := range peers {
		meshes = append(meshes, r.join(r.node(p.Node, secured(ca.Security(p.Node))), epoch, peers))
	}
	random := rand.New(rand.NewPCG(1, 2))
	for i, n := range []int{7, 4096, 5000, 60_000} {
		parts := vectors(random, 4, n)
		want := tree(parts)
		errs := together(4, func(rank int) error {
			c, err := meshes[rank].Comm(peers, rank, step(uint64(i+1)))
			if err != nil {
				return err
			}
			return c.Sum(t.Context(), parts[rank])
		})
		for rank, err := range errs {
			if err != nil || !sameBits(parts[rank], want) {
				t.Errorf("%d values, rank %d: %v", n, rank, err)
			}
		}
	}
}

func TestSecurityIsWhole(t *testing.T) {
	ca := planetest.NewAuthority(t)
	for name, change := range map[string]func(*dataplane.Security){
		"no server":            func(s *dataplane.Security) { s.Server = nil },
		"no client":            func(s *dataplane.Security) { s.Client = nil },
		"no nodes":             func(s *dataplane.Security) { s.Nodes = nil },
		"nobody asked":         func(s *dataplane.Security) { s.Server.ClientAuth = tls.NoClientCert },
		"given, not verified":  func(s *dataplane.Security) { s.Server.ClientAuth = tls.RequireAnyClientCert },
		"verified where given": func(s *dataplane.Security) { s.Server.ClientAuth = tls.VerifyClientCertIfGiven },
		"decided by each client": func(s *dataplane.Security) {
			s.Server.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, nil }
		},
	} {
		s := ca.Security("a")
		change(s)
		r := newRig(t)
		if _, err := dataplane.Listen("127.0.0.1:0", r.options("a", secured(s))); err == nil || !strings.Contains(err.Error(), "TLS") {
			t.Errorf("%s: %v", name, err)
		}
	}
	s := ca.Security("a")
	s.Client = func(string) *tls.Config { return nil }
	r := newRig(t)
	r.node("b", secured(ca.Security("b")))
	c := r.client(secured(s), func(o *dataplane.Options) { o.Attempts = 1 })
	if err := c.Fetch(t.Context(), "b", run, weights(0, 0), make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "no TLS configuration") {
		t.Errorf("got %v", err)
	}
}
