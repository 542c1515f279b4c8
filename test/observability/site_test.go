// Package observability holds what is shown to operators to what the services show:
// every metric has its line in the docs, and the dashboard and the alerts ask for
// metrics and labels that exist.
package observability

import (
	"context"
	"io"
	"log/slog"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/oklog/run"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/bus/natsbus"
	"github.com/spotserve/spotserve/platform/natsserver"
	"github.com/spotserve/spotserve/platform/obs"
	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/platform/store/open"
	"github.com/spotserve/spotserve/services/collector"
	"github.com/spotserve/spotserve/services/planner"
	"github.com/spotserve/spotserve/services/plotter"
	tracereplayer "github.com/spotserve/spotserve/services/trace-replayer"
	"github.com/spotserve/spotserve/services/worker"
)

// root is the repository.
const root = "../.."

// kinds of metrics, as the docs call them.
const (
	counter   = "counter"
	gauge     = "gauge"
	histogram = "histogram"
)

// family is what services show under one name.
type family struct {
	kind   string
	help   string
	labels []string            // sorted
	values map[string][]string // of labels, as far as they are known from the start
}

// services sets every service up, each on a connection of its own, and returns the
// registry of all.
func services(t *testing.T) *prometheus.Registry {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	server, err := natsserver.Start(natsserver.Options{StoreDir: t.TempDir(), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	closeLater := func(c io.Closer) {
		t.Cleanup(func() {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(func() {
		if err := server.Shutdown(); err != nil {
			t.Error(err)
		}
	})
	at := "sqlite:" + filepath.Join(t.TempDir(), "store.db")
	rows, err := open.Open(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	closeLater(rows)
	metrics, ready := obs.NewRegistry(), new(obs.Readiness)
	metrics.MustRegister(ready)
	connect := func(name string) bus.Bus {
		b, err := natsbus.Connect(t.Context(), natsbus.Options{InProcess: server, Name: "spotserve-" + name, Log: log, Metrics: metrics})
		if err != nil {
			t.Fatal(err)
		}
		closeLater(b)
		return b
	}
	g := new(run.Group)
	for name, err := range map[string]error{
		"collector": collector.Setup(g, collector.Options{
			Bus: connect("collector"), Holder: "test", Store: rows, Log: log, Metrics: metrics, Ready: ready,
		}),
		"plotter": plotter.Setup(g, plotter.Options{
			Bus: connect("plotter"), Folder: t.TempDir(), Log: log, Metrics: metrics, Ready: ready,
			Open: func(ctx context.Context) (store.Reader, error) { return open.OpenReader(ctx, at) },
		}),
		"planner": planner.Setup(g, planner.Options{
			Bus: connect("planner"), Holder: "test", Log: log, Metrics: metrics, Ready: ready,
		}),
		"worker": worker.Setup(g, worker.Options{
			Bus: connect("worker"), Nodes: []string{worker.AllNodes}, Log: log, Metrics: metrics, Ready: ready,
		}),
		"trace-replayer": tracereplayer.Setup(g, tracereplayer.Options{
			Bus: connect("trace-replayer"), Holder: "test", Log: log, Metrics: metrics, Ready: ready,
		}),
	} {
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	return metrics
}

// description is how the client library shows what a collector will give.
var description = regexp.MustCompile(`^Desc\{fqName: "([^"]+)", help: "(.*)", unit: ".*", constLabels: \{(.*)\}, variableLabels: \{(.*)\}\}$`)

// families lists all metrics of a registry: also those that show nothing before
// something happens. Of these the name tells the kind.
func families(t *testing.T, metrics *prometheus.Registry) map[string]*family {
	t.Helper()
	all := make(map[string]*family)
	described := make(chan *prometheus.Desc)
	go func() {
		metrics.Describe(described)
		close(described)
	}()
	for d := range described {
		m := description.FindStringSubmatch(d.String())
		if m == nil {
			t.Fatalf("cannot read %s", d)
		}
		f := &family{kind: gauge, help: m[2], values: make(map[string][]string)}
		if strings.HasSuffix(m[1], "_total") {
			f.kind = counter
		}
		for label := range strings.SplitSeq(m[3]+","+m[4], ",") {
			if name, _, _ := strings.Cut(label, "="); name != "" {
				f.labels = append(f.labels, name)
			}
		}
		slices.Sort(f.labels)
		if before := all[m[1]]; before != nil && !slices.Equal(before.labels, f.labels) {
			t.Errorf("%s has the labels %v here and %v there", m[1], before.labels, f.labels)
		}
		all[m[1]] = f
	}
	gathered, err := metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range gathered {
		f := all[g.GetName()]
		if f == nil {
			t.Errorf("%s is gathered and not described", g.GetName())
			continue
		}
		f.kind = strings.ToLower(g.GetType().String())
		for _, m := range g.GetMetric() {
			for _, l := range m.GetLabel() {
				f.values[l.GetName()] = append(f.values[l.GetName()], l.GetValue())
			}
		}
	}
	return all
}

// ours are the families of this system, not of its language.
func ours(all map[string]*family) map[string]*family {
	out := make(map[string]*family)
	for name, f := range all {
		if strings.HasPrefix(name, "spotserve_") {
			out[name] = f
		}
	}
	return out
}
