package deployment

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/spotserve/spotserve/platform/wire"
)

// strangersAreRefused on the bus: whoever has no credentials, or those of another.
func (s *site) strangersAreRefused() {
	s.t.Helper()
	const start = `{"e2e":{"approach":"spotserve","model":"20B","trace":"As"},"options":{"name":"stolen"}}`
	worker := "worker-" + node(0)
	// A server ends the connection of who shows no certificate; what its client
	// says of that depends on who is faster.
	if exit := s.natsCommand("", "", "pub", wire.SubjectStart, start); exit.Code == 0 || !strings.Contains(exit.Stderr, "tls") {
		s.t.Errorf("without a certificate: it ends with %d\n%s", exit.Code, exit.Stderr)
	}
	if exit := s.natsCommand("operator", "", "pub", wire.SubjectStart, start); exit.Code == 0 || !strings.Contains(exit.Stderr, "Authorization Violation") {
		s.t.Errorf("without an nkey: it ends with %d\n%s", exit.Code, exit.Stderr)
	}
	for _, c := range []struct {
		what, role string
		args       []string
		said       string
	}{
		{"a worker starts", worker, []string{"pub", wire.SubjectStart, start}, "Permissions Violation for Publish"},
		{"a worker plans", worker, []string{"pub", "spot.run.x.plan.config_chosen", "x"}, "Permissions Violation for Publish"},
		{"a worker commands", worker, []string{"pub", "spot.run.x.worker.node-1.cmd.drain", "x"}, "Permissions Violation for Publish"},
		{"a worker speaks for another", worker, []string{"pub", "spot.run.x.worker.node-1.fact.worker_joined", "x"}, "Permissions Violation for Publish"},
		{"a worker takes the planner's lease", worker, []string{"pub", "$KV.SPOT_KEYS.planner", "x"}, "Permissions Violation for Publish"},
		{"a worker takes another's address", worker, []string{"pub", "$KV.SPOT_KEYS.data.node-1", "x"}, "Permissions Violation for Publish"},
		{"a worker purges", worker, []string{"req", "$JS.API.STREAM.PURGE.SPOT_RUNS", ""}, "Permissions Violation for Publish"},
		{"the operator removes a stream", "operator", []string{"req", "$JS.API.STREAM.DELETE.SPOT_RUNS", ""}, "Permissions Violation for Publish"},
		{"the plotter publishes", "plotter", []string{"pub", "spot.run.x.record.run_recorded", "x"}, "Permissions Violation for Publish"},
		{"a client stops", "client", []string{"pub", wire.SubjectStop, `{"run":"e2e-1"}`}, "Permissions Violation for Publish"},
		{"a client listens", "client", []string{"sub", "spot.>", "--count", "1"}, "Permissions Violation for Subscription"},
		{"a worker reads another's answers", worker, []string{"sub", "_INBOX.>", "--count", "1"}, "Permissions Violation for Subscription"},
	} {
		// It ends with 0 where it takes a refusal for a question without an answer.
		exit := s.natsCommand(c.role, c.role, c.args...)
		if said := exit.Stdout + exit.Stderr; !strings.Contains(said, c.said) {
			s.t.Errorf("%s: it ends with %d, want %q\n%s", c.what, exit.Code, c.said, said)
		}
	}
	if stolen := s.query("SELECT count() FROM runs WHERE name = 'stolen'"); stolen != "0" {
		s.t.Errorf("%s runs were started by whom nobody knows", stolen)
	}
}

// planesAreClosed to all but workers, while they serve; the doctor sees who they are.
func (s *site) planesAreClosed() {
	s.t.Helper()
	if d, code := s.doctor(); code != 0 || !d.says("ok", "data plane "+node(tappedNode), "answers with the node's certificate") {
		s.t.Errorf("the doctor does not find the data plane well:\n%s", d)
	}
	from, to := s.lan.on("operator"), s.lan.on(nodeHost(tappedNode))
	ca, err := os.ReadFile(s.key("operator", "ca.crt"))
	if err != nil {
		s.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	bare := &tls.Config{RootCAs: roots, InsecureSkipVerify: true} //nolint:gosec // whom it talks to is not what is tried
	operator := bare.Clone()
	pair, err := tls.LoadX509KeyPair(s.key("operator", "tls.crt"), s.key("operator", "tls.key"))
	if err != nil {
		s.t.Fatal(err)
	}
	operator.Certificates = []tls.Certificate{pair}
	for what, over := range map[string]func(net.Conn) net.Conn{
		"plain text":     func(c net.Conn) net.Conn { return c },
		"no certificate": func(c net.Conn) net.Conn { return tls.Client(c, bare) },
		"the operator's": func(c net.Conn) net.Conn { return tls.Client(c, operator) },
	} {
		raw, err := from.dial(to, dataPort+tappedNode)
		if err != nil {
			s.t.Errorf("%s: %v", what, err)
			continue
		}
		conn := over(raw)
		_ = conn.SetDeadline(time.Now().Add(patience))
		_, _ = conn.Write([]byte(strings.Repeat("SPOT", 1000))) // it may be refused by now
		got, err := io.ReadAll(conn)
		if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
			s.t.Errorf("%s: the connection stays open", what)
		}
		if alert := what == "plain text" && len(got) > 0 && got[0] == 21; len(got) > 0 && !alert {
			s.t.Errorf("%s: the data plane says % x", what, got[:min(len(got), 64)])
		}
		_ = raw.Close()
	}
}
