package report_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/platform/store/open"
	"github.com/spotserve/spotserve/services/plotter"
	"github.com/spotserve/spotserve/services/plotter/report"
)

// testRun is a finished run of 20B on As that tests change.
func testRun(name string, seed uint64, change ...func(*store.Run)) store.Run {
	r := store.Run{
		Run: name, Kind: "e2e", Approach: "spotserve", Model: "20B", Trace: "As", Arrivals: "artifact", Quirks: "none", Seed: seed,
		Status: "finished", StartedUnixMS: 1_700_000_000_123, Accepted: 4, Completed: 4, CostUSD: 6, USDPerToken: 2e-5,
		TokensRecomputed: 7, Interruptions: 2, Settings: `{"grace_s":30,"headroom":1.142857142857143}`, Version: 1,
	}
	for _, c := range change {
		c(&r)
	}
	return r
}

// is makes a test run one of a published experiment.
func is(kind experiment.Kind, approach, model, trace string, level int) func(*store.Run) {
	return func(r *store.Run) {
		r.Kind, r.Approach, r.Model, r.Trace, r.Level = string(kind), approach, model, trace, level
	}
}

// storeOf makes a store with the runs; the latencies of a run are 10, 20, 30 and
// 40 s times its seed, as many as it completed.
func storeOf(t *testing.T, runs ...store.Run) store.Reader {
	t.Helper()
	url := "sqlite:" + filepath.Join(t.TempDir(), "store.db")
	w, err := open.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	b := store.Batch{Runs: runs}
	for _, r := range runs {
		b.Nodes = append(b.Nodes, store.NodeTime{Run: r.Run, Node: "node-0", Market: "spot", ToMS: 600_000, USD: 6})
		for i := range r.Completed {
			start, ms := 0.0, 10_000*float64(i+1)*float64(r.Seed)
			b.Requests = append(b.Requests, store.RequestLatency{
				Run: r.Run, Request: uint64(i), StartedMS: &start, FinishedMS: &ms, LatencyMS: &ms, Status: "completed", Config: "1x1x1",
			})
		}
	}
	if err := errors.Join(w.Write(t.Context(), b), w.Close()); err != nil {
		t.Fatal(err)
	}
	r, err := open.OpenReader(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func text(t *testing.T, write func(io.Writer) error) string {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func markdown(t *testing.T, r *report.Report) string {
	return text(t, func(w io.Writer) error { return r.Markdown(w, "figures") })
}

func published(t *testing.T, r store.Reader, o report.Options) *report.Report {
	t.Helper()
	rep, err := report.Published(t.Context(), r, o)
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

func has(t *testing.T, what, text string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			t.Errorf("%s lacks %q:\n%s", what, want, text)
		}
	}
}

// some are runs of each figure, but not of all experiments.
func some() []store.Run {
	return []store.Run{
		testRun("e2e-v1", 1), testRun("e2e-v2", 2), testRun("e2e-v3", 1, is(experiment.EndToEnd, "rerouting", "30B", "Bs+o", 0)),
		testRun("ondemand-v4", 1, is(experiment.OnDemand, "spotserve", "20B", "on-demand-4", 0)),
		testRun("workload-v5", 1, is(experiment.Workload, "spotserve", "20B", "B", 0)),
		testRun("ablation-v6", 2, is(experiment.Ablation, "spotserve", "20B", "As", 3), func(r *store.Run) { r.Accepted = 6 }),
	}
}

func TestPublishedOfSomeRuns(t *testing.T) {
	rep := published(t, storeOf(t, some()...), report.Options{})
	page := markdown(t, rep)
	has(t, "the report", page,
		// Medians, their spread, published numbers and errors.
		"| As | spotserve | 2 | 37.5 (25.0–50.0) | 23.5 | +59.6 % | 60.0 (40.0–80.0) | 46.1 | +30.2 % | 0 |",
		"| Bs+o | rerouting | 1 | 25.0 | – | – | 40.0 | – | – | 0 |",
		"| Bs | reparallelization | 0 | – | – | – | – | – | – | – |",
		"| 4 nodes | spotserve | 1 | 20.00 | 10 | 0 | 25.0 | 98.0 | -74.5 % | 40.0 | 175.3 | -77.2 % |",
		"| 0 | nothing, the end-to-end run | 2 | 37.5 (25.0–50.0) | 23.5 | +59.6 % | 60.0 (40.0–80.0) | 46.1 | +30.2 % | 1.00 | 7 |",
		"| 3 | the interruption arranger | 1 | 50.0 | – | – | 80.0 | – | – | 1.33 | 7 |",
		"Mean absolute error over 2 published numbers: 44.9 %.",
		// Figures, settings, gaps, commands.
		"![Figure 6: end-to-end latency on spot instances](figures/e2e-sheet-20B+30B-artifact-none.svg)",
		"| headroom | 1.14286 |", "    spotserve e2e spotserve 6.7B As\n", "    spotserve ablation 3 B\n", report.Fidelity,
		"    spotserve reproduce all --seeds 2\n",
	)
	if n := strings.Count(page, "    spotserve e2e spotserve 20B Bs\n"); n != 1 {
		t.Errorf("what Figures 6, 7 and 9 lack is named %d times, want once", n)
	}
	if strings.Contains(page, "    spotserve e2e spotserve 20B As\n") {
		t.Error("the report lacks what it shows")
	}
	names := map[string]bool{}
	for _, f := range rep.Figures() {
		if names[f.Name] {
			t.Errorf("two figures are called %s", f.Name)
		}
		names[f.Name] = true
		if err := f.Save(filepath.Join(t.TempDir(), f.Name+".svg")); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{
		"e2e-sheet-20B+30B-artifact-none", "e2e-20B-As-artifact-none", "e2e-30B-Bs+o-artifact-none", "price-20B-artifact-none",
		"workload-sheet-20B-artifact-none", "workload-e2e-20B-B-artifact-none", "workload-case-20B-B-artifact-none-seed1",
		"ablation-sheet-20B-artifact-none", "ablation-20B-As-artifact-none",
	} {
		if !names[name] {
			t.Errorf("no figure %s among %v", name, names)
		}
		delete(names, name)
	}
	if len(names) > 0 {
		t.Errorf("figures of nothing: %v", names)
	}
}

// TestSameSeedsSameBytes: nothing of a run but what it measured, not its name,
// nor when, where and how fast it ran, is in the report.
func TestSameSeedsSameBytes(t *testing.T) {
	again := some()
	slices.Reverse(again)
	for i := range again {
		r := &again[i]
		r.Run = fmt.Sprintf("%s-%d", r.Kind, 100+i)
		r.StartedUnixMS, r.TimeScale, r.Virtual, r.Version = int64(i), 240, false, 3
	}
	first, second := published(t, storeOf(t, some()...), report.Options{}), published(t, storeOf(t, again...), report.Options{})
	for name, write := range map[string]func(*report.Report, io.Writer) error{
		"text": (*report.Report).Text, "JSON": (*report.Report).JSON, "HTML": (*report.Report).HTML,
		"Markdown": func(r *report.Report, w io.Writer) error { return r.Markdown(w, "figures") },
	} {
		of := func(r *report.Report) string {
			return text(t, func(w io.Writer) error { return write(r, w) })
		}
		if of(first) != of(second) {
			t.Errorf("%s: the bytes differ:\n%s\n%s", name, of(first), of(second))
		}
		if found := regexp.MustCompile(`(e2e|ondemand|workload|ablation)-v?[0-9]+\b|17000|/tmp`).FindString(of(first)); found != "" {
			t.Errorf("%s names a run, a time or a path: %s", name, found)
		}
	}
}

func TestPublishedOfNothing(t *testing.T) {
	rep := published(t, storeOf(t), report.Options{})
	if n := len(rep.Missing); n != 36+4+6+8 {
		t.Errorf("got %d missing experiments, want all 54", n)
	}
	if len(rep.Figures()) > 0 || len(rep.Settings.Rows) > 0 {
		t.Errorf("got figures %v and settings %v of nothing", rep.Figures(), rep.Settings)
	}
	has(t, "the report", markdown(t, rep), "## Figure 9", "spotserve reproduce all\n")
	has(t, "the page", text(t, rep.HTML), "<h2>Missing</h2>")
}

func TestPublishedChooses(t *testing.T) {
	other := func(r *store.Run) { r.Settings = `{"grace_s":60}` }
	r := storeOf(t,
		testRun("e2e-1", 1), testRun("e2e-2", 2), testRun("e2e-3", 1, is(experiment.EndToEnd, "rerouting", "20B", "As", 0)),
		testRun("e2e-4", 3, other), testRun("e2e-5", 4, other), testRun("e2e-6", 5, other),
		testRun("e2e-7", 6, func(r *store.Run) { r.Status = "stopped" }),
		testRun("e2e-8", 1, is(experiment.EndToEnd, "spotserve", "20B", "/tmp/a trace", 0)),
	)
	for _, tt := range []struct {
		name    string
		options report.Options
		seeds   string // of SpotServe on As
		note    string
	}{
		{"the settings that fill most places", report.Options{Which: []string{"e2e"}}, "[1 2]", "Runs with other settings that are in the store and not shown: 3."},
		{"some runs", report.Options{Which: []string{"e2e"}, Runs: []string{"e2e-2", "e2e-3"}}, "[2]", ""},
		{"other runs", report.Options{Which: []string{"e2e"}, Runs: []string{"e2e-4", "e2e-6"}}, "[3 5]", ""},
		{"some seeds", report.Options{Which: []string{"e2e"}, Seeds: []uint64{1}}, "[1]", ""},
	} {
		rep := published(t, r, tt.options)
		s := rep.Sections[0]
		if got := fmt.Sprint(s.Results[0].Seeds); len(rep.Sections) != 1 || got != tt.seeds {
			t.Errorf("%s: got seeds %s in %d sections, want %s in one", tt.name, got, len(rep.Sections), tt.seeds)
		}
		if tt.note != "" && !slices.Contains(s.Notes, tt.note) || tt.note == "" && strings.Contains(strings.Join(s.Notes, " "), "not shown") {
			t.Errorf("%s: got notes %q, want %q", tt.name, s.Notes, tt.note)
		}
	}
	_, err := report.Published(t.Context(), r, report.Options{Which: []string{"figure6"}})
	var refused *plotter.RefusedError
	if !errors.As(err, &refused) || refused.Reason != `report: unknown experiment "figure6": allowed are e2e, price, workload, ablation` {
		t.Errorf("got %v", err)
	}
}

func TestJSONHasTheNumbers(t *testing.T) {
	var got struct {
		Sections []struct {
			Name    string
			Results []struct {
				Approach, Model, Trace string
				Seeds                  []int
				Metrics                []struct {
					Name                        string
					Min, Median, Max, Published *float64
				}
			}
		}
		Missing []string
	}
	if err := json.Unmarshal([]byte(text(t, published(t, storeOf(t, some()...), report.Options{}).JSON)), &got); err != nil {
		t.Fatal(err)
	}
	r := got.Sections[0].Results[0]
	if got.Sections[0].Name != "e2e" || r.Approach != "spotserve" || r.Trace != "As" || fmt.Sprint(r.Seeds) != "[1 2]" {
		t.Errorf("got %+v", r)
	}
	for _, m := range r.Metrics {
		if m.Name == "p99_s" && (*m.Min != 40 || *m.Median != 60 || *m.Max != 80 || *m.Published != 46.1) {
			t.Errorf("got %v %v %v, published %v", *m.Min, *m.Median, *m.Max, *m.Published)
		}
	}
}

// TestHTMLIsOneFile: nothing is loaded from elsewhere, and the page is well
// formed.
func TestHTMLIsOneFile(t *testing.T) {
	runs := append(some(), testRun("custom-v7", 1, func(r *store.Run) { r.Kind, r.Name = "custom", "<b>mine</b> & all" }))
	r := storeOf(t, runs...)
	custom, err := report.Custom(t.Context(), r, "<b>mine</b> & all", report.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, rep := range []*report.Report{published(t, r, report.Options{}), custom} {
		page := text(t, rep.HTML)
		if found := regexp.MustCompile(`(?i)<(script|link|img|iframe)|@import|url\(|src=|<b>`).FindString(page); found != "" {
			t.Errorf("the page has %q", found)
		}
		shown := 0
		for _, s := range rep.Sections {
			shown += len(s.Figures)
		}
		if n := strings.Count(page, "<svg"); n != shown || n == 0 {
			t.Errorf("got %d figures in the page, want %d", n, shown)
		}
		d := xml.NewDecoder(strings.NewReader(page))
		d.Strict, d.AutoClose, d.Entity = false, []string{"meta"}, xml.HTMLEntity
		for {
			_, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("the page is broken: %v", err)
			}
		}
	}
}

func TestCustom(t *testing.T) {
	swept := func(rate string, settings string) func(*store.Run) {
		return func(r *store.Run) {
			r.Kind, r.Name, r.Settings = "custom", "mine", fmt.Sprintf(`{"slo_p99_s":25,%s"sweep":{"rate":%q}}`, settings, rate)
		}
	}
	plain := func(r *store.Run) { r.Kind, r.Name = "custom", "plain" }
	r := storeOf(t,
		testRun("custom-1", 1, swept("0.5", `"arrival_rate_rps":0.5,`)), testRun("custom-2", 2, swept("0.5", `"arrival_rate_rps":0.5,`)),
		testRun("custom-3", 1, swept("0.3", `"arrival_rate_rps":0.3,`), func(r *store.Run) { r.Completed = 0 }),
		testRun("custom-4", 1, plain), testRun("custom-5", 2, plain),
	)
	rep, err := report.Custom(t.Context(), r, "mine", report.Options{})
	if err != nil {
		t.Fatal(err)
	}
	has(t, "the report", text(t, rep.Text), "mine: rate\n",
		"rate  seeds  completed  not completed        average, s            P50, s            P90, s            P99, s     within SLO, %\n"+
			"0.3       1          0              4                 –                 –                 –                 –               0.0\n"+
			"0.5       2          4              0  37.5 (25.0–50.0)  45.0 (30.0–60.0)  60.0 (40.0–80.0)  60.0 (40.0–80.0)  37.5 (25.0–50.0)\n",
		"Settings that change along the sweep: arrival_rate_rps.\n")
	has(t, "the report", markdown(t, rep), "| 0.5 | 2 | 4 | 0 | 37.5 (25.0–50.0) | 45.0 (30.0–60.0) | 60.0 (40.0–80.0) | 60.0 (40.0–80.0) | 37.5 (25.0–50.0) |",
		"| 0.3 | 1 | 0 | 4 | – | – | – | – | 0.0 |", "| 0.3 | 6.00 | – | 10 | 0 | 2 | 7 |", "| slo\\_p99\\_s | 25 |", "(figures/sweep-mine.svg)")

	if rep, err = report.Custom(t.Context(), r, "plain", report.Options{}); err != nil {
		t.Fatal(err)
	}
	has(t, "the report", markdown(t, rep), "| SpotServe | 2 | 4 | 0 | 37.5 (25.0–50.0) |", "(figures/compare-plain.svg)", "(figures/case-plain-seed1.svg)")

	if rep, err = report.Compare(t.Context(), r, []string{"custom-1", "custom-4"}, false); err != nil {
		t.Fatal(err)
	}
	has(t, "the report", markdown(t, rep), "They differ in: experiment, rate,", "| mine | 1 |", "| plain | 1 |", "spotserve compare custom-1 custom-4\n")

	for _, o := range []report.Options{{}, {Runs: []string{"custom-9"}}} {
		var refused *plotter.RefusedError
		if _, err := report.Custom(t.Context(), r, "none", o); !errors.As(err, &refused) || !refused.NoRuns {
			t.Errorf("got %v", err)
		}
	}
}

// TestCells: as many experiments as the paper has, none twice.
func TestCells(t *testing.T) {
	for kind, want := range map[experiment.Kind]int{experiment.EndToEnd: 36, experiment.OnDemand: 4, experiment.Workload: 6, experiment.Ablation: 10, experiment.Custom: 0} {
		cells := report.Cells(kind)
		if len(cells) != want {
			t.Errorf("%s: got %d, want %d", kind, len(cells), want)
		}
		for i, c := range cells {
			if slices.Contains(cells[:i], c) {
				t.Errorf("%+v is there twice", c)
			}
		}
	}
}
