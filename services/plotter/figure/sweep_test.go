package figure

import (
	"fmt"
	"math"
	"strings"
	"testing"
)

// sweptLine is a line over n values whose latencies grow by a factor each.
func sweptLine(label string, look, n int, avg, factor float64) SweepLine {
	l := SweepLine{Label: label, Look: look}
	for x := range n {
		v := avg * math.Pow(factor, float64(x))
		l.Points = append(l.Points, SweepPoint{x, []SweepMeasure{
			{v, 2 * v, 21e-6 / factor, .99}, {1.1 * v, 2.3 * v, 22e-6, .97},
		}})
	}
	return l
}

// sweeps are drawings by the names of their golden files.
func sweeps() map[string]Drawing {
	silent := sweptLine("Rerouting", 1, 3, 60, 1.5)
	silent.Points[1].Seeds = []SweepMeasure{{math.NaN(), math.NaN(), math.NaN(), 0}}
	return map[string]Drawing{
		"sweep-numbers": Sweep{
			Text: Text{Title: "mine: rate x approach", Caption: []string{"20B", "2 seeds (median, min to max)"}}, XName: "rate (requests/s)",
			X: []string{"0.1", "0.35", "0.4"}, Values: []float64{.1, .35, .4},
			Panels: []SweepPanel{{Lines: []SweepLine{sweptLine("SpotServe", 0, 3, 20, 1.2), silent}}},
		},
		"sweep-names": Sweep{
			Text: Text{Title: "mine: batching"}, XName: "batching", X: []string{"continuous", "pooled"},
			Panels: []SweepPanel{{Lines: []SweepLine{sweptLine("", 0, 2, 3, 5)}}},
		},
		"sweep-panels": Sweep{
			Text: Text{Title: "mine: rate x approach x grace"}, XName: "rate (requests/s)",
			X: []string{"0.01", "0.1", "1"}, Values: []float64{.01, .1, 1},
			Panels: []SweepPanel{
				{"grace 0", []SweepLine{sweptLine("SpotServe", 0, 3, 20, 6), silent}},
				{"grace 30", []SweepLine{sweptLine("SpotServe", 0, 3, 20, 5)}},
				{"grace 60", nil},
			},
		},
	}
}

// TestLineIsBrokenWhereNothingWasCompleted: no line leads over a point that has
// no latency.
func TestLineIsBrokenWhereNothingWasCompleted(t *testing.T) {
	s := sweeps()["sweep-numbers"].(Sweep)
	metrics := sweepMetrics()
	for of, want := range map[int]string{0: "[0.1] [0.4]", 3: "[0.1 0.35 0.4]"} {
		var got []string
		for _, stretch := range s.points(s.Panels[0].Lines[1], metrics[of], 0, false) {
			got = append(got, fmt.Sprint(stretch.x))
		}
		if text := strings.Join(got, " "); text != want {
			t.Errorf("%s: got %s, want %s", metrics[of].name, text, want)
		}
	}
}

func TestValueTicksLeaveRoom(t *testing.T) {
	values, labels := []float64{0, 1, 2, 3, 10}, []string{"0", "1", "2", "3", "10"}
	at := func(v float64) float64 { return v / 10 }
	for width, want := range map[float64]string{0.05: "0 1 2 3 10", 0.15: "0 2 10", 0.5: "0 10", 3: "0"} {
		ticks := valueTicks(values, labels, at, func(string) float64 { return width })(0, 10)
		if len(ticks) != len(values) {
			t.Errorf("width %g: got %d ticks, want one a value", width, len(ticks))
		}
		var got []string
		for _, tick := range ticks {
			if tick.Label != "" {
				got = append(got, tick.Label)
			}
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("width %g: got %s, want %s", width, s, want)
		}
	}
}

func TestLogTicksStandAtTheirLogarithms(t *testing.T) {
	for _, tick := range logTicks(8)(0, 3) {
		if want := map[string]float64{"1": 0, "10": 1, "100": 2, "1000": 3}[tick.Label]; strings.Trim(tick.Label, "0") == "1" && math.Abs(tick.Value-want) > 1e-9 {
			t.Errorf("%s stands at %g, want %g", tick.Label, tick.Value, want)
		}
	}
	if got := labels(logTicks(8)(0, 3)); got != "1 2 5 10 20 50 100 200 500 1000" && got != "1 3 10 30 100 300 1000" {
		t.Errorf("got %s", got)
	}
}
