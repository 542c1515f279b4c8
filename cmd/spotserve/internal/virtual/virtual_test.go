package virtual_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"testing"

	"github.com/spotserve/spotserve/cmd/spotserve/internal/virtual"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/platform/store/sqlite"
)

func openStore(t *testing.T) *sqlite.Writer {
	t.Helper()
	w, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "store.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

// small is a run of some 500 requests, large one of some 2,000 rows.
func small(seed uint64) event.StartExperiment { return e2e("20B", seed) }
func large(seed uint64) event.StartExperiment { return e2e("6.7B", seed) }

func e2e(model string, seed uint64) event.StartExperiment {
	return event.StartExperiment{
		Experiment: experiment.EndToEnd, Approach: string(experiment.SpotServe), Model: model, Trace: "As",
		Options: event.StartOptions{Seed: seed},
	}
}

func summary(t *testing.T, r store.Reader, run string) store.LatencySummary {
	t.Helper()
	s, err := store.Summary(t.Context(), r, run)
	if err != nil {
		t.Fatal(err)
	}
	s.Run = ""
	return s
}

func find(t *testing.T, r store.Reader, run string) store.Run {
	t.Helper()
	row, err := store.FindRun(t.Context(), r, run)
	if err != nil {
		t.Fatal(err)
	}
	return row
}

// Runs side by side get names of their own and leave the rows that they leave
// alone.
func TestRunsSideBySide(t *testing.T) {
	w, alone := openStore(t), openStore(t)
	runner, names := virtual.NewRunner(w), make([]string, 8)
	var all sync.WaitGroup
	for i := range names {
		all.Go(func() {
			var err error
			if names[i], err = runner.Run(t.Context(), small(uint64(i+1))); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for i, run := range names {
		name, err := virtual.NewRunner(alone).Run(t.Context(), small(uint64(i+1)))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := summary(t, w, run), summary(t, alone, name); got != want || got.N == 0 {
			t.Errorf("seed %d: side by side %+v, alone %+v", i+1, got, want)
		}
	}
	slices.Sort(names)
	for i, name := range names {
		if want := fmt.Sprintf("e2e-v%d", i+1); name != want {
			t.Errorf("run %d is named %s, want %s", i+1, name, want)
		}
	}
}

// Another process goes on numbering where the last one ended.
func TestNumbersGoOn(t *testing.T) {
	w := openStore(t)
	for _, want := range []string{"e2e-v1", "e2e-v2"} {
		if run, err := virtual.NewRunner(w).Run(t.Context(), small(1)); err != nil || run != want {
			t.Errorf("run %q, %v; want %s", run, err, want)
		}
	}
}

// faulty does what the test says before it writes.
type faulty struct {
	store.Writer
	before func(store.Batch) error
}

func (f faulty) Write(ctx context.Context, b store.Batch) error {
	if err := f.before(b); err != nil {
		return err
	}
	return f.Writer.Write(ctx, b)
}

// A large run reaches the store in several chunks, and whole.
func TestChunks(t *testing.T) {
	w := openStore(t)
	var chunks []int
	runner := virtual.NewRunner(faulty{w, func(b store.Batch) error { chunks = append(chunks, b.Len()); return nil }})
	virtual.SetChunkRows(t, 300)
	run, err := runner.Run(t.Context(), large(1))
	if err != nil {
		t.Fatal(err)
	}
	row := find(t, w, run)
	if len(chunks) < 4 || slices.Max(chunks) > 1000 {
		t.Errorf("%d requests are written in chunks of %d rows", row.Accepted, chunks)
	}
	if row.Status != "finished" || summary(t, w, run).N != row.Completed {
		t.Errorf("%d requests in the store, of %+v", summary(t, w, run).N, row)
	}
}

// A user who leaves keeps what was measured, with its books closed.
func TestStop(t *testing.T) {
	w := openStore(t)
	ctx, cancel := context.WithCancel(t.Context())
	virtual.SetChunkRows(t, 300)
	run, err := virtual.NewRunner(faulty{w, func(store.Batch) error { cancel(); return nil }}).Run(ctx, large(1))
	if !errors.Is(err, context.Canceled) || run == "" {
		t.Fatalf("run %q, error %v", run, err)
	}
	row := find(t, w, run)
	n := summary(t, w, run).N
	if row.Status != "stopped" || row.Accepted != row.Completed+row.UnfinishedAtEnd || row.Completed != n || n == 0 || row.CostUSD == 0 {
		t.Errorf("%d latencies, and the run is %+v", n, row)
	}
	if run, err := virtual.NewRunner(w).Run(ctx, small(1)); run != "" || !errors.Is(err, context.Canceled) {
		t.Errorf("a run that begins after the stop: %q, %v", run, err)
	}
}

// A store that fails in the middle: the run is closed by the last write, if
// that works again.
func TestStoreFails(t *testing.T) {
	w := openStore(t)
	full, writes := errors.New("the disk is full"), 0
	virtual.SetChunkRows(t, 300)
	run, err := virtual.NewRunner(faulty{w, func(store.Batch) error {
		if writes++; writes == 2 {
			return full
		}
		return nil
	}}).Run(t.Context(), large(1))
	if !errors.Is(err, full) {
		t.Fatalf("run %q, error %v", run, err)
	}
	if row := find(t, w, run); row.Status != "stopped" || row.Reason == "" {
		t.Errorf("the run is %+v", row)
	}
}

// The log of a run does not depend on the size of the chunks.
func TestChunksChangeNothing(t *testing.T) {
	whole, chunked := openStore(t), openStore(t)
	if _, err := virtual.NewRunner(whole).Run(t.Context(), large(2)); err != nil {
		t.Fatal(err)
	}
	virtual.SetChunkRows(t, 100)
	if _, err := virtual.NewRunner(chunked).Run(t.Context(), large(2)); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"request_latency ORDER BY request", "fleet_event ORDER BY seq, node", "config_change", "migration", "node_time", "latency_summary", "cost_summary"} {
		a, err := whole.Query(t.Context(), "SELECT * FROM "+table)
		if err != nil {
			t.Fatal(err)
		}
		b, err := chunked.Query(t.Context(), "SELECT * FROM "+table)
		if err != nil || !reflect.DeepEqual(a, b) || len(a.Values) == 0 {
			t.Errorf("%s: %d rows whole, %d in chunks, %v", table, len(a.Values), len(b.Values), err)
		}
	}
}

// A process that is killed leaves a run that nobody plays. The next one closes
// it, and leaves alone what others run.
func TestLeftBehind(t *testing.T) {
	w := openStore(t)
	if err := w.Write(t.Context(), store.Batch{
		Runs: []store.Run{
			{Run: "e2e-v3", Virtual: true, Status: "running", Version: 2},
			{Run: "e2e-v2", Virtual: true, Status: "finished", Version: 3},
			{Run: "e2e-7", Status: "running", Version: 2},
		},
	}); err != nil {
		t.Fatal(err)
	}
	if run, err := virtual.NewRunner(w).Run(t.Context(), small(1)); run != "e2e-v4" || err != nil {
		t.Errorf("run %q, %v; want e2e-v4", run, err)
	}
	for run, want := range map[string]string{"e2e-v2": "finished", "e2e-v3": "stopped", "e2e-7": "running", "e2e-v4": "finished"} {
		if got := find(t, w, run).Status; got != want {
			t.Errorf("run %s is %s, want %s", run, got, want)
		}
	}
}

// TestSimulated: where workers would compute, the profile counts and the lengths
// of what is asked; all else stays.
func TestSimulated(t *testing.T) {
	spec := experiment.Spec{Seed: 3, Compute: experiment.Transformer, Transformer: new(experiment.TransformerModel), TimeScale: 1}
	timeline := experiment.Timeline{Arrivals: []experiment.Arrival{{At: 7, PromptTokens: 2, Prompt: &experiment.Prompt{Text: "hi"}}}}
	got, played := virtual.Simulated(spec, timeline)
	if !reflect.DeepEqual(got, experiment.Spec{Seed: 3, Virtual: true}) || !reflect.DeepEqual(played.Arrivals, []experiment.Arrival{{At: 7, PromptTokens: 2}}) {
		t.Errorf("got %+v, %+v", got, played)
	}
	if timeline.Arrivals[0].Prompt == nil {
		t.Error("the timeline that was given is changed")
	}
}
