package result

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/services/plotter"
)

// TestTimelineListsChanges: an unchanged configuration is there only where
// devices changed; the time is that of the availability event.
func TestTimelineListsChanges(t *testing.T) {
	change := func(at float64, d, p, m, b, devices int) store.ConfigChange {
		return store.ConfigChange{AtMS: at*1e3 + 400, ChangeMS: at * 1e3, D: d, P: p, M: m, B: b, DevicesChanged: devices}
	}
	got := timeline([]store.ConfigChange{
		change(0, 2, 3, 4, 4, 24), change(120, 2, 3, 4, 4, 0), change(240, 2, 2, 8, 4, 8), change(360, 2, 2, 8, 4, 4),
		change(480, 0, 0, 0, 0, 0), change(600, 2, 2, 8, 4, 0), change(720, 2, 2, 8, 2, 0),
	})
	want := []Config{
		{TS: 0, D: 2, P: 3, M: 4, B: 4, DevicesChanged: 24}, {TS: 240, D: 2, P: 2, M: 8, B: 4, DevicesChanged: 8},
		{TS: 360, D: 2, P: 2, M: 8, B: 4, DevicesChanged: 4}, {TS: 480}, {TS: 600, D: 2, P: 2, M: 8, B: 4}, {TS: 720, D: 2, P: 2, M: 8, B: 2},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nwant\n%+v", got, want)
	}
	if got := timeline(nil); got == nil || len(got) != 0 {
		t.Errorf("a run without configurations has %#v, which is not []", got)
	}
}

// sample has another value in every field.
var sample = Result{
	Run: "e2e-1", Kind: "e2e", Name: "mine", Approach: "spotserve", Model: "20B", Trace: "As", Level: 3, Arrivals: "artifact", Quirks: "none",
	Seed: 7, TimeScale: 60, Status: "finished", Accepted: 101, Completed: 98, UnfinishedAtEnd: 3,
	Interruptions: 6, TokensRecomputed: 55, AvgS: 1.25, P50S: 2.5, P90S: 3.5, P95S: 4.5, P96S: 5.5, P97S: 6.5, P98S: 7.5, P99S: 8.5,
	SLOP99S: 30, WithinSLO: 77, SpotMinutes: 163, OnDemandMinutes: 12,
	CostUSD: 6.19, USDPerToken: 2.14e-5, Sweep: []plotter.Setting{{Key: "grace", Value: "0"}, {Key: "rate", Value: "0.5"}}, Configs: []Config{{TS: 240, D: 2, P: 2, M: 8, B: 4, DevicesChanged: 8}, {TS: 300}},
	Store: "sqlite:store.db", Figures: []string{"fig.png"},
}

func TestTextSaysEverything(t *testing.T) {
	text := func(r Result) string {
		var b bytes.Buffer
		if err := r.Text(&b); err != nil {
			t.Fatal(err)
		}
		return strings.Join(strings.Fields(b.String()), " ")
	}
	for _, want := range []string{
		"e2e-1: mine, grace 0, rate 0.5, spotserve, 20B on As, arrivals artifact, quirks none, seed 7, time scale 60, finished",
		"latency in s n avg P50 P90 P95 P96 P97 P98 P99 98 1.25 2.50 3.50 4.50 5.50 6.50 7.50 8.50",
		"101 accepted = 98 completed + 3 unfinished at the end + 0 lost; 0 duplicated",
		"interruptions 6, tokens recomputed 55", "6.19 USD, 2.14e-05 USD a token; node minutes: 163 spot, 12 on-demand",
		"within SLO 77 of 101 requests answered within 30 s, 76.24 %",
		"240 2x2x8 4 8", "300 none fits", "figure fig.png", "store sqlite:store.db",
	} {
		if got := text(sample); !strings.Contains(got, want) {
			t.Errorf("there is no %q in\n%s", want, got)
		}
	}
	if strings.Contains(text(sample), "came late") {
		t.Error("a run without late facts tells of them")
	}
	plain := sample
	plain.Name, plain.Sweep, plain.SLOP99S = "", nil, 0
	if got := text(plain); !strings.HasPrefix(got, "e2e-1: spotserve, 20B on As") || strings.Contains(got, "SLO") {
		t.Errorf("a run without name, sweep and SLO prints\n%s", got)
	}
	late := sample
	late.LateFacts = 12
	if got := text(late); !strings.Contains(got, "12 facts came late") || !strings.Contains(got, "lower --time-scale") {
		t.Errorf("late facts are not told, with what to do:\n%s", got)
	}
	virtual := sample
	virtual.Virtual, virtual.Completed = true, 0
	if got := text(virtual); !strings.Contains(got, "virtual time") || !strings.Contains(got, "0 - - - - - - - -") {
		t.Errorf("a virtual run in which nothing was completed prints\n%s", got)
	}
}

// TestJSONReadsBack and has no name more or less than it promises.
func TestJSONReadsBack(t *testing.T) {
	var b bytes.Buffer
	if err := sample.JSON(&b); err != nil {
		t.Fatal(err)
	}
	var back Result
	if err := json.Unmarshal(b.Bytes(), &back); err != nil || !reflect.DeepEqual(back, sample) {
		t.Errorf("%v: it reads back as\n%+v", err, back)
	}
	var entry struct {
		Configs []map[string]any `json:"configs"`
	}
	if err := json.Unmarshal(b.Bytes(), &entry); err != nil {
		t.Fatal(err)
	}
	if got, want := slices.Sorted(maps.Keys(entry.Configs[0])), []string{"b", "d", "devices_changed", "m", "p", "t_s"}; !slices.Equal(got, want) {
		t.Errorf("a configuration has the names %v, want %v", got, want)
	}
}
