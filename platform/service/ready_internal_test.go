package service

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func TestCheckReady(t *testing.T) {
	answer, body := http.StatusOK, "ok\n"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" {
			t.Errorf("asks for %s", r.URL.Path)
		}
		w.WriteHeader(answer)
		_, _ = w.Write([]byte(body))
	}))
	defer server.Close()
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	gone := httptest.NewServer(nil)
	gone.Close()
	for _, c := range []struct {
		name, listen string
		answer       int
		body         string
		code         int
		says         string
	}{
		{"ready", "127.0.0.1:" + port, http.StatusOK, "ok\n", 0, ""},
		{"on all addresses", ":" + port, http.StatusOK, "ok\n", 0, ""},
		{"on all addresses, by number", "0.0.0.0:" + port, http.StatusOK, "ok\n", 0, ""},
		{"not ready", "127.0.0.1:" + port, http.StatusServiceUnavailable, "planner: runs\nplanner: roll calls\n", 1, "not ready: planner: runs planner: roll calls"},
		{"nobody there", gone.Listener.Addr().String(), 0, "", 1, "no answer on " + gone.Listener.Addr().String()},
		{"no address", "", 0, "", 1, `--metrics-listen is "": want the host:port`},
		{"any port", "127.0.0.1:0", 0, "", 1, "want the host:port"},
	} {
		t.Run(c.name, func(t *testing.T) {
			answer, body = c.answer, c.body
			s := Service{Name: "sampler", Flags: func(*pflag.FlagSet) {}, Setup: func(context.Context, *Process) error {
				t.Error("a check sets up the service")
				return nil
			}}
			var stderr bytes.Buffer
			if code := s.Run(t.Context(), []string{"--check-ready", "--metrics-listen=" + c.listen}, &stderr); code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			if said := stderr.String(); !strings.Contains(said, c.says) || c.says == "" && said != "" {
				t.Errorf("says %q, want %q", said, c.says)
			}
		})
	}
}
