package plotter_test

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oklog/run"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/bus/membus"
	"github.com/spotserve/spotserve/platform/obs"
	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/platform/store/open"
	"github.com/spotserve/spotserve/platform/wire"
	"github.com/spotserve/spotserve/services/plotter"
	"github.com/spotserve/spotserve/services/plotter/figure"
)

// harness is a running plotter, in a synctest bubble.
type harness struct {
	t       *testing.T
	bus     *membus.Bus
	folder  string
	metrics *prometheus.Registry
	ready   obs.Readiness
	opens   int               // calls of Open
	fail    func(n int) error // what call n of Open fails with
	stop    func() error      // interrupts the group and returns its error
}

func start(t *testing.T, b *membus.Bus, url string) *harness {
	t.Helper()
	return startWith(t, b, url, nil)
}

func startWith(t *testing.T, b *membus.Bus, url string, drawn func(run string, files []string, err error)) *harness {
	t.Helper()
	h := &harness{t: t, bus: b, folder: filepath.Join(t.TempDir(), "figures"), metrics: prometheus.NewRegistry()}
	var g run.Group
	interrupt := make(chan struct{})
	g.Add(func() error { <-interrupt; return nil }, func(error) {})
	err := plotter.Setup(&g, plotter.Options{
		Bus: b,
		Open: func(ctx context.Context) (store.Reader, error) {
			h.opens++
			if h.fail != nil {
				if err := h.fail(h.opens); err != nil {
					return nil, err
				}
			}
			return open.OpenReader(ctx, url)
		},
		Folder: h.folder, Formats: []figure.Format{figure.SVG},
		Log: slog.New(slog.DiscardHandler), Metrics: h.metrics, Ready: &h.ready, Drawn: drawn,
	})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- g.Run() }()
	h.stop = func() error { close(interrupt); return <-ended }
	synctest.Wait()
	return h
}

// record publishes that the runs are in the store.
func record(t *testing.T, b bus.Publisher, runs ...string) {
	t.Helper()
	for _, r := range runs {
		e := event.Event{Run: r, Source: "collector", Seq: 1, Body: event.RunRecorded{Run: r, Rows: 5}}
		subject, err := wire.Subject(e)
		if err != nil {
			t.Fatal(err)
		}
		data, err := wire.Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Publish(t.Context(), bus.Outgoing{Subject: subject, Data: data}); err != nil {
			t.Fatal(err)
		}
	}
}

// expect waits until the plotter has nothing to do and compares the files in
// the folder and the counted results.
func (h *harness) expect(files, counts string) {
	h.t.Helper()
	synctest.Wait()
	entries, err := os.ReadDir(h.folder)
	if err != nil {
		h.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if got := strings.Join(names, " "); got != files {
		h.t.Errorf("got files %q, want %q", got, files)
	}
	var want strings.Builder
	want.WriteString("# HELP spotserve_plotter_figures_total Figures by result: drawn, refused (the run is none that is drawn), failed (and tried again).\n" +
		"# TYPE spotserve_plotter_figures_total counter\n")
	of := map[string]string{"drawn": "0", "refused": "0", "failed": "0"}
	for c := range strings.FieldsSeq(counts) {
		result, n, _ := strings.Cut(c, "=")
		of[result] = n
	}
	for result, n := range of {
		want.WriteString(`spotserve_plotter_figures_total{result="` + result + `"} ` + n + "\n")
	}
	if err := testutil.GatherAndCompare(h.metrics, strings.NewReader(want.String()), "spotserve_plotter_figures_total"); err != nil {
		h.t.Error(err)
	}
}

func (h *harness) end() {
	h.t.Helper()
	if err := h.stop(); err != nil {
		h.t.Errorf("the group ended with %v", err)
	}
	if err := h.bus.Close(); err != nil {
		h.t.Error(err)
	}
}

func TestServiceDrawsWhatIsRecorded(t *testing.T) {
	url := newStore(t,
		testRun("e2e-1", "spotserve", 1), testRun("e2e-2", "rerouting", 1),
		testRun("e2e-3", "spotserve", 1, func(r *store.Run) { r.Trace = "Bs" }),
		testRun("other-4", "spotserve", 1, func(r *store.Run) { r.Kind = "other" }),
	)
	synctest.Test(t, func(t *testing.T) {
		h := start(t, membus.New(membus.Options{}), url)
		h.expect("", "")
		if unmet := h.ready.Unmet(); len(unmet) > 0 {
			t.Errorf("not ready: %v", unmet)
		}
		record(t, h.bus, "e2e-3")
		h.expect("e2e-20B-Bs-artifact-none.svg", "drawn=1")
		record(t, h.bus, "other-4")
		h.expect("e2e-20B-Bs-artifact-none.svg", "drawn=1 refused=1")
		record(t, h.bus, "e2e-1")
		h.expect("e2e-20B-As-artifact-none.svg e2e-20B-Bs-artifact-none.svg", "drawn=2 refused=1")
		h.end()
		if len(h.ready.Unmet()) == 0 {
			t.Error("ready after the end")
		}
		svg, err := os.ReadFile(filepath.Join(h.folder, "e2e-20B-As-artifact-none.svg"))
		if err != nil || !strings.Contains(string(svg), "SpotServe") || !strings.Contains(string(svg), "Rerouting") {
			t.Errorf("the figure lacks an approach: %v", err)
		}
	})
}

func TestServiceCatchesUpAndDrawsEachFigureOnce(t *testing.T) {
	url := newStore(t, testRun("e2e-1", "spotserve", 1), testRun("e2e-2", "rerouting", 1), testRun("e2e-3", "spotserve", 2))
	synctest.Test(t, func(t *testing.T) {
		b := membus.New(membus.Options{})
		record(t, b, "e2e-1", "e2e-2", "e2e-3")
		h := start(t, b, url)
		synctest.Wait()
		if h.opens == 0 || h.opens > 3 {
			t.Errorf("got %d figures of one panel", h.opens)
		}
		if files, err := os.ReadDir(h.folder); err != nil || len(files) != 1 {
			t.Errorf("got %v, %v", files, err)
		}
		h.end()
	})
}

// A run that is on a figure of another one still gets the figures that the other
// one has not.
func TestServiceDrawsAllFiguresOfEachRun(t *testing.T) {
	url := newStore(t, testRun("e2e-1", "spotserve", 1), testRun("ondemand-2", "spotserve", 1, onDemand(4)),
		testRun("ablation-3", "spotserve", 1, ablation(1, "As")), testRun("workload-4", "spotserve", 1, workload("A")),
		testRun("workload-5", "spotserve", 2, workload("A")), testRun("workload-6", "rerouting", 2, workload("A")))
	synctest.Test(t, func(t *testing.T) {
		b := membus.New(membus.Options{})
		record(t, b, "ablation-3", "e2e-1", "ondemand-2", "workload-4", "workload-5", "workload-6")
		drawn := map[string]int{}
		h := startWith(t, b, url, func(run string, files []string, err error) { drawn[run] = len(files) })
		h.expect("ablation-20B-As-artifact-none.svg e2e-20B-As-artifact-none.svg price-20B-artifact-none.svg "+
			"workload-case-20B-A-artifact-none-seed1.svg workload-case-20B-A-artifact-none-seed2.svg workload-e2e-20B-A-artifact-none.svg", "drawn=5")
		want := map[string]int{"ablation-3": 1, "e2e-1": 1, "ondemand-2": 1, "workload-4": 2, "workload-5": 2}
		if !maps.Equal(drawn, want) {
			t.Errorf("got %v, want %v: workload-6 is on both figures of workload-5", drawn, want)
		}
		h.end()
	})
}

func TestServiceWaitsForTheStore(t *testing.T) {
	url := newStore(t, testRun("e2e-1", "spotserve", 1))
	synctest.Test(t, func(t *testing.T) {
		h := start(t, membus.New(membus.Options{}), url)
		h.fail = func(n int) error {
			if n <= 2 {
				return fs.ErrNotExist
			}
			return nil
		}
		record(t, h.bus, "e2e-1")
		h.expect("", "failed=1")
		time.Sleep(time.Second)
		h.expect("", "failed=2")
		time.Sleep(time.Second)
		h.expect("", "failed=2")
		time.Sleep(time.Second)
		h.expect("e2e-20B-As-artifact-none.svg", "drawn=1 failed=2")
		time.Sleep(time.Hour)
		h.expect("e2e-20B-As-artifact-none.svg", "drawn=1 failed=2")
		h.end()
	})
}

func TestServiceEndsWhileItWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, membus.New(membus.Options{}), "sqlite:no/such/store.db")
		record(t, h.bus, "e2e-1")
		h.expect("", "failed=1")
		h.end()
	})
}

func TestServiceSkipsWhatItCannotRead(t *testing.T) {
	url := newStore(t, testRun("e2e-1", "spotserve", 1))
	synctest.Test(t, func(t *testing.T) {
		h := start(t, membus.New(membus.Options{}), url)
		bad := bus.Outgoing{Subject: "spot.run.e2e-1.record.run_recorded", Data: []byte("\xff")}
		if err := h.bus.Publish(t.Context(), bad); err != nil {
			t.Fatal(err)
		}
		record(t, h.bus, "e2e-1")
		h.expect("e2e-20B-As-artifact-none.svg", "drawn=1")
		h.end()
	})
}

func TestServiceFailsWithItsBus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, membus.New(membus.Options{}), "sqlite:store.db")
		if err := h.bus.Close(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if err := h.stop(); !errors.Is(err, bus.ErrClosed) {
			t.Errorf("got %v, want %v", err, bus.ErrClosed)
		}
	})
}

func TestSetupRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	var g run.Group
	err := plotter.Setup(&g, plotter.Options{Folder: filepath.Join(file, "figures"), Metrics: prometheus.NewRegistry(), Ready: &obs.Readiness{}})
	if err == nil || !strings.Contains(err.Error(), "plotter: figures folder: mkdir "+file) {
		t.Errorf("got %v", err)
	}
}

func TestServiceDrawsAllFormatsByDefault(t *testing.T) {
	folder := t.TempDir()
	url := newStore(t, testRun("e2e-1", "spotserve", 1))
	synctest.Test(t, func(t *testing.T) {
		b := membus.New(membus.Options{})
		record(t, b, "e2e-1")
		var g run.Group
		interrupt := make(chan struct{})
		g.Add(func() error { <-interrupt; return nil }, func(error) {})
		if err := plotter.Setup(&g, plotter.Options{
			Bus: b, Open: func(ctx context.Context) (store.Reader, error) { return open.OpenReader(ctx, url) },
			Folder: folder, Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(), Ready: &obs.Readiness{},
		}); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- g.Run() }()
		synctest.Wait()
		close(interrupt)
		if err := errors.Join(<-ended, b.Close()); err != nil {
			t.Error(err)
		}
	})
	files, err := filepath.Glob(filepath.Join(folder, "e2e-20B-As-artifact-none.*"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range files {
		files[i] = filepath.Ext(files[i])
	}
	if !slices.Equal(files, []string{".pdf", ".png", ".svg"}) {
		t.Errorf("got %v", files)
	}
}
