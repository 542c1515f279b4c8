package obs_test

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/spotserve/spotserve/platform/obs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve starts a server and returns a GET on it; the server is stopped and
// waited for at the end of the test.
func serve(t *testing.T, reg *prometheus.Registry, ready *obs.Readiness) func(path string) (int, string) {
	t.Helper()
	s, err := obs.Listen("127.0.0.1:0", reg, ready, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error)
	go func() { served <- s.Serve() }()
	client := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(func() {
		client.CloseIdleConnections()
		s.Interrupt(nil)
		s.Interrupt(errors.New("again"))
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
		if conn, err := net.Dial("tcp", s.Addr()); err == nil {
			_ = conn.Close()
			t.Error("the port is still open after Interrupt")
		}
	})
	return func(path string) (int, string) {
		t.Helper()
		resp, err := client.Get("http://" + s.Addr() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, strings.TrimSpace(string(body))
	}
}

func TestServer(t *testing.T) {
	reg := obs.NewRegistry()
	counter := prometheus.NewCounter(prometheus.CounterOpts{Name: "spotserve_test_total", Help: "Counts."})
	reg.MustRegister(counter)
	counter.Add(3)
	var ready obs.Readiness
	bus := ready.Add("bus")
	get := serve(t, reg, &ready)

	check := func(path string, wantStatus int, want string) {
		t.Helper()
		status, body := get(path)
		if status != wantStatus || !strings.Contains(body, want) {
			t.Errorf("%s: got %d %s, want %d and %q in it", path, status, body, wantStatus, want)
		}
	}
	check("/metrics", 200, "spotserve_test_total 3")
	check("/metrics", 200, "go_goroutines")
	check("/healthz", 200, "alive")
	check("/readyz", 503, `{"ready":false,"unmet":[{"name":"bus","reason":"starting"}]}`)
	bus.Met()
	check("/readyz", 200, `{"ready":true,"unmet":[]}`)
	bus.NotMet("reconnecting")
	check("/readyz", 503, `"reason":"reconnecting"`)
	check("/healthz", 200, "alive")
	check("/elsewhere", 404, "")
}

func TestRegistriesAreApart(t *testing.T) {
	for range 2 {
		obs.NewRegistry().MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "spotserve_test", Help: "One a process."}))
	}
}

func TestListenRefuses(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	for addr, want := range map[string]string{
		taken.Addr().String(): "--metrics-listen " + taken.Addr().String() + ": another process listens there already",
		"9090":                "--metrics-listen 9090: want host:port of this host",
		"127.0.0.1:99999":     "--metrics-listen 127.0.0.1:99999: want host:port of this host",
	} {
		_, err := obs.Listen(addr, obs.NewRegistry(), &obs.Readiness{}, slog.New(slog.DiscardHandler))
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: got %v, want %s...", addr, err, want)
		}
		if addr == taken.Addr().String() && !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("%s: the cause is lost: %v", addr, err)
		}
	}
}

func TestServerThatIsOffWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := obs.Listen("", obs.NewRegistry(), &obs.Readiness{}, slog.New(slog.DiscardHandler))
		if err != nil || s.Addr() != "" {
			t.Fatalf("got address %q, error %v", s.Addr(), err)
		}
		served := make(chan error, 1)
		go func() { served <- s.Serve() }()
		synctest.Wait()
		if len(served) > 0 {
			t.Errorf("did not wait: %v", <-served)
		}
		s.Interrupt(nil)
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

func TestInterruptBeforeServeFreesThePort(t *testing.T) {
	s, err := obs.Listen("127.0.0.1:0", obs.NewRegistry(), &obs.Readiness{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s.Interrupt(nil)
	l, err := net.Listen("tcp", s.Addr())
	if err != nil {
		t.Fatalf("the port is not free: %v", err)
	}
	_ = l.Close()
	if err := s.Serve(); err != nil {
		t.Errorf("serve after interrupt: %v", err)
	}
}
