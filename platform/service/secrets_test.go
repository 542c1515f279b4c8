package service_test

import (
	"context"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"

	"github.com/spotserve/spotserve/platform/natsserver"
	"github.com/spotserve/spotserve/platform/service"
	"github.com/spotserve/spotserve/platform/testsecret"
)

// A password or token in the URL of NATS, wherever it came from, is in no line of
// the log and in no metric.
func TestNoSecretIsShown(t *testing.T) {
	server, err := natsserver.Start(natsserver.Options{StoreDir: t.TempDir(), Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Shutdown() }()
	host := strings.TrimPrefix(server.URL(), "nats://")
	for name, c := range map[string]struct {
		url   string
		works bool
	}{
		"password":    {"nats://user:" + testsecret.Password() + "@" + host, true},
		"token":       {"nats://" + testsecret.Password() + "@" + host, true},
		"of two":      {"nats://user:" + testsecret.Password() + "@" + host + ",nats://user:" + testsecret.Password() + "@" + host, true},
		"unreachable": {"nats://user:" + testsecret.Password() + "@127.0.0.1:1", false},
		"unreadable":  {"nats://user:%zz" + testsecret.Password() + "@" + host, false},
		"no port":     {"nats://user:" + testsecret.Password() + "@" + "127.0.0.1:port", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("SPOTSERVE_NATS", c.url)
			var log buffer
			var url *string
			var metrics prometheus.Gatherer
			s := service.Service{
				Name: "sampler", Does: "takes samples.",
				Flags: func(fs *pflag.FlagSet) { url = service.NATSFlag(fs) },
				Setup: func(ctx context.Context, p *service.Process) error {
					metrics = p.Metrics
					if _, err := p.Connect(ctx, "sampler", *url); err != nil {
						return err
					}
					p.Group.Add(func() error { return nil }, func(error) {})
					return nil
				},
			}
			code := s.Run(t.Context(), []string{"--log-level", "debug"}, &log)
			if (code == 0) != c.works || c.works && !strings.Contains(log.String(), "service runs") {
				t.Errorf("exit code %d, log\n%s", code, log.String())
			}
			var shown strings.Builder
			shown.WriteString(log.String())
			if metrics != nil {
				families, err := metrics.Gather()
				if err != nil {
					t.Fatal(err)
				}
				for _, f := range families {
					shown.WriteString(f.String())
				}
			}
			if found := testsecret.Find([]byte(shown.String())); len(found) > 0 {
				t.Errorf("a secret is shown:\n%s", shown.String())
			}
		})
	}
}
