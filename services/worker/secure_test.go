package worker

import (
	"bytes"
	"crypto/tls"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/oklog/run"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/spotserve/spotserve/engine/dataplane"
	"github.com/spotserve/spotserve/engine/dataplane/planetest"
	"github.com/spotserve/spotserve/platform/bus/membus"
	"github.com/spotserve/spotserve/platform/credential"
	"github.com/spotserve/spotserve/platform/obs"
	"github.com/spotserve/spotserve/services/worker/internal/book"
)

func files(t *testing.T, ca *planetest.Authority, names ...string) (f credential.Files) {
	t.Helper()
	f.CA, f.Cert, f.Key = ca.Files(t.TempDir(), names...)
	return f
}

// TestEngineUnderTLS: with credentials a node's data plane takes workers of the
// deployment and nobody else, and who was refused is counted.
func TestEngineUnderTLS(t *testing.T) {
	ca := planetest.NewAuthority(t)
	b := membus.New(membus.Options{})
	defer b.Close()
	metrics := prometheus.NewRegistry()
	o := Options{
		Bus: b, Nodes: []string{"node-1"}, Engine: EngineOptions{Credentials: files(t, ca, "worker/node-1")},
		Log: slog.New(slog.DiscardHandler), Metrics: metrics, Ready: &obs.Readiness{},
	}
	s := &service{Options: o, metrics: newMetrics(o), refusals: dataplane.NewRefusals(o.Log)}
	if err := s.metrics.register(metrics, &s.engines, refused{s.refusals}); err != nil {
		t.Fatal(err)
	}
	e, err := s.openEngine(t.Context(), started("synthetic:1"), "node-1", o.Log)
	if err != nil {
		t.Fatal(err)
	}
	defer e.close()
	fetch := func(security *dataplane.Security) error {
		c, err := dataplane.NewClient(dataplane.Options{
			Node: "node-2", Resolve: book.New(b).Get, Security: security, Attempts: 1, Timeout: 5 * time.Second,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, err = c.Held(t.Context(), "node-1", "custom-1", []dataplane.Item{{Kind: dataplane.Weights}})
		return err
	}
	peer := EngineOptions{Credentials: files(t, ca, "worker/node-2")}
	good, err := peer.security("node-2")
	if err != nil {
		t.Fatal(err)
	}
	if err := fetch(good); err != nil {
		t.Errorf("a worker of the deployment: %v", err)
	}
	for name, security := range map[string]*dataplane.Security{
		"plain TCP":          nil,
		"another deployment": planetest.NewAuthority(t).Security("node-2"),
		"a planner":          ca.Show(func() *tls.Certificate { return ca.Issue(time.Now().Add(time.Hour), "planner") }),
	} {
		if err := fetch(security); err == nil {
			t.Errorf("%s is let in", name)
		}
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		got := refusalsShown(t, metrics)
		if got["not_tls"] == 1 && got["certificate"] == 1 && got["handshake"] == 1 {
			if len(got) != len(dataplane.Causes) {
				t.Errorf("shown are %v, want all causes", got)
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("shown are %v", got)
		}
	}
}

func refusalsShown(t *testing.T, r prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]float64)
	for _, f := range families {
		if f.GetName() == "spotserve_worker_data_plane_refusals_total" {
			for _, m := range f.GetMetric() {
				got[m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
			}
		}
	}
	return got
}

// TestCredentialsAreChecked at the start, as far as they are known then.
func TestCredentialsAreChecked(t *testing.T) {
	ca := planetest.NewAuthority(t)
	one := files(t, ca, "worker/node-1")
	alone := credential.Files{CA: one.CA}
	for name, c := range map[string]struct {
		files credential.Files
		nodes []string
		want  string // "": it starts
		opens string // "": an engine of node-1 opens too
	}{
		"none":            {credential.Files{}, []string{"node-1"}, "", ""},
		"its own":         {one, []string{"node-1"}, "", ""},
		"of several":      {files(t, ca, "worker/node-1", "worker/node-2"), []string{"node-1", "node-2"}, "", ""},
		"of another node": {one, []string{"node-2"}, "not that of node node-2", ""},
		"of one of two":   {one, []string{"node-1", "node-2"}, "not that of node node-2", ""},
		"of a planner":    {files(t, ca, "planner"), []string{"node-1"}, "not that of node node-1", "not that of node node-1"},
		"any node":        {files(t, ca, "worker/node-3"), []string{AllNodes}, "", "not that of node node-1"},
		"no pair":         {alone, []string{"node-1"}, "", "takes --tls-ca, --tls-cert and --tls-key"},
	} {
		t.Run(name, func(t *testing.T) {
			b := membus.New(membus.Options{})
			defer b.Close()
			o := Options{
				Bus: b, Nodes: c.nodes, Engine: EngineOptions{Credentials: c.files}, Log: slog.New(slog.DiscardHandler),
				Metrics: prometheus.NewRegistry(), Ready: &obs.Readiness{},
			}
			var g run.Group
			if err := Setup(&g, o); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("start: %v, want %q", err, c.want)
			}
			s := &service{Options: o}
			e, err := s.openEngine(t.Context(), started("synthetic:1"), "node-1", o.Log)
			if (err == nil) != (c.opens == "") || err != nil && !strings.Contains(err.Error(), c.opens) {
				t.Errorf("engine: %v, want %q", err, c.opens)
			}
			if err == nil {
				_ = e.close()
			}
		})
	}
}

// TestWarnings: what listens beyond this host without TLS is told of once.
func TestWarnings(t *testing.T) {
	ca := planetest.NewAuthority(t)
	pair := files(t, ca, "worker/node-1")
	for _, c := range []struct {
		o    EngineOptions
		says string
	}{
		{EngineOptions{}, ""},
		{EngineOptions{Listen: "127.0.0.1:7000"}, ""},
		{EngineOptions{Listen: "localhost:7000"}, ""},
		{EngineOptions{Listen: "[::1]:7000"}, ""},
		{EngineOptions{Listen: "[::]:7000", Advertise: "x"}, "without TLS"},
		{EngineOptions{Listen: ":7000", Advertise: "x"}, "without TLS"},
		{EngineOptions{Listen: "10.0.0.1:7000"}, "without TLS"},
		{EngineOptions{Listen: "node-1:7000"}, "without TLS"},
		{EngineOptions{Listen: "10.0.0.1:7000", Credentials: pair}, ""},
		{EngineOptions{Listen: "10.0.0.1:7000", Credentials: credential.Files{CA: pair.CA}}, "no certificate"},
	} {
		var log bytes.Buffer
		c.o.warn(slog.New(slog.NewTextHandler(&log, nil)))
		if said := log.String(); (said == "") != (c.says == "") || !strings.Contains(said, c.says) || strings.Count(said, "\n") > 1 {
			t.Errorf("listens at %q, TLS %t: %q, want %q", c.o.Listen, c.o.Credentials.TLS(), said, c.says)
		}
	}
}
