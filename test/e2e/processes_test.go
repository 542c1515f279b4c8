//go:build unix

package e2e

import (
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spotserve/spotserve/test/internal/program"
)

// upProcess is spotserve up.
type upProcess struct {
	*program.Process
	url string // of its NATS server
}

var natsAt = regexp.MustCompile(`NATS at (nats://\S+),`)

// up starts spotserve up on a free port and waits until it is.
func (s *site) up(args ...string) upProcess {
	s.t.Helper()
	p := s.start(append([]string{"up", "--nats-listen", "127.0.0.1:0"}, args...)...)
	p.Await(s.t, "spotserve is up")
	found := natsAt.FindStringSubmatch(p.Stderr.String())
	if found == nil {
		s.t.Fatalf("up does not say where NATS is: %q", p.Stderr.String())
	}
	return upProcess{p, found[1]}
}

// stop ends it as Ctrl-C does.
func (p upProcess) stop(t *testing.T) {
	t.Helper()
	p.Signal(t, syscall.SIGINT)
	if exit := p.Wait(t); exit.Code != 0 {
		t.Errorf("up ends with exit code %d: %s", exit.Code, exit.Stderr)
	}
	if c, err := net.Dial("tcp", strings.TrimPrefix(p.url, "nats://")); err == nil {
		c.Close()
		t.Errorf("something still listens at %s", p.url)
	}
}

// startServer runs the stock NATS server on a free port and returns its URL.
func startServer(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	p := program.Start(t, dir, nil, natsServer(t), "--jetstream", "--store_dir", dir, "--addr", "127.0.0.1", "--port", "-1")
	p.Await(t, "Server is ready")
	_, at, ok := strings.Cut(p.Stderr.String(), "Listening for client connections on ")
	if !ok {
		t.Fatalf("the server does not say where it listens:\n%s", p.Stderr.String())
	}
	at, _, _ = strings.Cut(at, "\n")
	return "nats://" + at
}

// serviceProcess is one of the five.
type serviceProcess struct {
	*program.Process
	http string // URL of its metrics and health
}

var httpAt = regexp.MustCompile(`url=(http://\S+)`)

// startService starts a service and waits until it is ready.
func (s *site) startService(name string, args ...string) serviceProcess {
	s.t.Helper()
	args = append(args, "--log-level", "info", "--metrics-listen", "127.0.0.1:0")
	p := program.Start(s.t, s.dir, s.env, service(s.t, name), args...)
	p.Await(s.t, "service runs")
	found := httpAt.FindStringSubmatch(p.Stderr.String())
	if found == nil {
		s.t.Fatalf("%s does not say where its health is:\n%s", name, p.Stderr.String())
	}
	out := serviceProcess{p, found[1]}
	timeout := time.After(time.Minute)
	for {
		status, said := out.get(s.t, "/readyz")
		if status == http.StatusOK {
			return out
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-timeout:
			s.t.Fatalf("%s is not ready: %s", name, said)
		}
	}
}

// serviceExit runs a service that ends by itself.
func (s *site) serviceExit(name string, args ...string) program.Exit {
	s.t.Helper()
	return program.Run(s.t, s.dir, s.env, service(s.t, name), args...)
}

// get asks the service over HTTP.
func (p serviceProcess) get(t *testing.T, path string) (status int, body string) {
	t.Helper()
	r, err := http.Get(p.http + path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(text)
}

// terminate ends a service as an operator does.
func (p serviceProcess) terminate(t *testing.T) {
	t.Helper()
	p.Signal(t, syscall.SIGTERM)
	if exit := p.Wait(t); exit.Code != 0 || strings.Contains(exit.Stderr, "level=ERROR") {
		t.Errorf("exit code %d on SIGTERM:\n%s", exit.Code, exit.Stderr)
	}
}
