//go:build unix

package e2e

import (
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/wire"
	"github.com/spotserve/spotserve/test/internal/history"
)

// mainJob is the published experiment that a newcomer runs first.
var mainJob = []string{"e2e", "spotserve", "20B", "As"}

func job(args []string, more ...string) []string { return append(slices.Clone(args), more...) }

// promised are the names in the object that --output json prints; status says
// whether the run went on to its end.
var promised = []string{
	"run", "kind", "name", "sweep", "approach", "model", "trace", "level", "arrivals", "quirks", "seed", "time_scale", "virtual",
	"status", "accepted", "completed", "unfinished_at_end", "lost", "duplicated", "late_facts", "interruptions",
	"tokens_recomputed", "avg_s", "p50_s", "p90_s", "p95_s", "p96_s", "p97_s", "p98_s", "p99_s", "slo_p99_s",
	"within_slo", "spot_minutes", "on_demand_minutes", "cost_usd", "usd_per_token", "configs", "store", "figures",
}

// TestMainJob runs the first experiment live, with everything embedded, and
// holds what it prints, stores, draws and streams against virtual time.
func TestMainJob(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	live := s.experiment(job(mainJob, "--time-scale", "240")...)
	virtual := s.experiment(job(mainJob, "--virtual")...)

	mustBeAlike(t, live, virtual)
	if live.int("time_scale") != 240 || live["virtual"] != false || virtual["virtual"] != true {
		t.Errorf("live: time scale %v, virtual %v; virtual: virtual %v", live["time_scale"], live["virtual"], virtual["virtual"])
	}
	if live.int("late_facts") != 0 || live.int("completed") == 0 || live.text("status") != "finished" {
		t.Errorf("%d facts late, %d requests completed, status %s", live.int("late_facts"), live.int("completed"), live.text("status"))
	}
	for _, r := range []result{live, virtual} {
		if got, want := slices.Sorted(maps.Keys(r)), slices.Sorted(slices.Values(promised)); !slices.Equal(got, want) {
			t.Errorf("the object has the names\n%v\nwant\n%v", got, want)
		}
		mustHaveFigures(t, s, r)
	}
	mustHaveSameRows(t, s, s, live, virtual)
	mustBeOnStream(t, s.streams(), live.text("run"))
}

// mustBeAlike compares all of two results that is not about where and how fast
// they came about.
func mustBeAlike(t *testing.T, live, virtual result) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(virtual)) {
		if slices.Contains([]string{"run", "time_scale", "virtual", "store", "figures"}, name) {
			continue
		}
		if !reflect.DeepEqual(live[name], virtual[name]) && !nearlyEqual(live[name], virtual[name]) {
			t.Errorf("%s is live %v, virtual %v", name, live[name], virtual[name])
		}
	}
}

// nearlyEqual allows for stores that sum up in another order.
func nearlyEqual(a, b any) bool {
	x, aNumber := a.(float64)
	y, bNumber := b.(float64)
	return aNumber && bNumber && math.Abs(x-y) <= 1e-12*math.Abs(y)
}

func mustHaveFigures(t *testing.T, s *site, r result) {
	t.Helper()
	figures, _ := r["figures"].([]any)
	var formats []string
	for _, f := range figures {
		file := fmt.Sprint(f)
		if info, err := os.Stat(filepath.Join(s.dir, file)); err != nil || info.Size() == 0 {
			t.Errorf("figure %s: %v, or empty", file, err)
		}
		formats = append(formats, filepath.Ext(file))
	}
	if slices.Sort(formats); !slices.Equal(formats, []string{".pdf", ".png", ".svg"}) {
		t.Errorf("figures %v, want a PNG, an SVG and a PDF", figures)
	}
}

// tables are all tables with the columns that name a row in its run.
var tables = map[string]string{
	"runs": "run", "request_latency": "request", "fleet_event": "seq, node", "config_change": "epoch",
	"migration": "epoch", "node_time": "node, from_ms",
}

// mustHaveSameRows compares all rows of a run in one store with those of a run
// in another, less what differs by its nature.
func mustHaveSameRows(t *testing.T, aSite, bSite *site, a, b result) {
	t.Helper()
	rows := func(s *site, r result, table string) []map[string]any {
		rows := s.rows(fmt.Sprintf("SELECT * FROM %s WHERE run = '%s' ORDER BY %s", table, r.text("run"), tables[table]))
		for _, row := range rows {
			for _, name := range []string{"run", "time_scale", "virtual", "started_unix_ms"} {
				delete(row, name)
			}
		}
		return rows
	}
	for table := range tables {
		got, want := rows(aSite, a, table), rows(bSite, b, table)
		if len(want) == 0 || !reflect.DeepEqual(got, want) {
			t.Errorf("table %s: %s has %d rows, %s has %d; they differ first in\n%s",
				table, a.text("run"), len(got), b.text("run"), len(want), firstDifference(got, want))
		}
	}
	if n := len(rows(aSite, a, "request_latency")); n != a.int("accepted") {
		t.Errorf("%d requests accepted, %d rows", a.int("accepted"), n)
	}
}

func firstDifference(got, want []map[string]any) string {
	for i := range min(len(got), len(want)) {
		if !reflect.DeepEqual(got[i], want[i]) {
			return fmt.Sprintf("row %d: %v\nand %v", i, got[i], want[i])
		}
	}
	return "their number"
}

// mustBeOnStream finds all of a run of the main job on its stream.
func mustBeOnStream(t *testing.T, b bus.Bus, run string) {
	t.Helper()
	virtual, err := history.Virtual(run, event.StartExperiment{
		Experiment: experiment.EndToEnd, Approach: mainJob[1], Model: mainJob[2], Trace: mainJob[3],
	})
	if err != nil {
		t.Fatal(err)
	}
	if difference := history.Difference(stream(t, b, run), virtual); difference != "" {
		t.Error(difference)
	}
}

// stream reads a run from its stream, to the word that its rows are stored.
func stream(t *testing.T, b bus.Bus, run string) (events []event.Event) {
	t.Helper()
	sub, err := b.Follow(t.Context(), bus.Runs, bus.Position{}, wire.RunFilter(run))
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Stop()
	for m := range sub.C() {
		ev, err := wire.Decode(m.Data)
		if err != nil {
			t.Fatalf("message %d on %s: %v", m.Seq, m.Subject, err)
		}
		events = append(events, ev)
		if _, done := ev.Body.(event.RunRecorded); done {
			return events
		}
	}
	t.Fatalf("the stream of %s ends: %v", run, sub.Err())
	return nil
}

// TestPlanFixtures holds the configuration timelines of the published runs.
func TestPlanFixtures(t *testing.T) {
	// Source: SpotServe artifact, ASPLOS'24, Apache-2.0. Second of the
	// availability event and shape; what is the same as before is there where
	// a node was replaced.
	fixtures := []struct {
		model, trace string
		configs      []string
	}{
		{"20B", "As", []string{"0 2x3x4", "240 2x2x8", "1200 2x2x8"}},
		{"20B", "Bs", []string{"0 2x2x8", "120 2x2x8", "240 2x3x4", "720 2x2x8"}},
		{"6.7B", "As", []string{"0 7x1x4", "240 8x1x4", "360 5x2x4", "600 9x1x4", "900 5x2x4", "1200 8x1x4"}},
	}
	for _, f := range fixtures {
		for _, pace := range [][]string{{"--virtual"}, {"--time-scale", fast}} {
			t.Run(fmt.Sprint(f.model, " on ", f.trace, " ", pace[0]), func(t *testing.T) {
				t.Parallel()
				r := newSite(t).experiment(job([]string{"e2e", "spotserve", f.model, f.trace}, pace...)...)
				var got []string
				for _, c := range r.configs() {
					part := strings.Fields(c)
					got = append(got, part[0]+" "+part[1])
					if part[2] != "b4" {
						t.Errorf("%s: the running batch limit is 4 in all published runs", c)
					}
				}
				if !slices.Equal(got, f.configs) {
					t.Errorf("configurations %v, want %v", got, f.configs)
				}
				if r.int("late_facts") != 0 {
					t.Errorf("%d facts came late", r.int("late_facts"))
				}
			})
		}
	}
}
