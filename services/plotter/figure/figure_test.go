package figure

import (
	"bytes"
	"flag"
	"image/png"
	"maps"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// drawings are figures of all kinds by the names of their golden files.
func drawings() map[string]Drawing {
	all := map[string]Drawing{}
	for _, kind := range []map[string]Drawing{tails(), prices(), cases(), ablations(), sheets(), compares(), sweeps()} {
		maps.Copy(all, kind)
	}
	return all
}

func drawn(t *testing.T, d Drawing, f Format) []byte {
	t.Helper()
	var buf bytes.Buffer
	if err := Write(&buf, f, d); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestGolden(t *testing.T) {
	for name, d := range drawings() {
		t.Run(name, func(t *testing.T) {
			got := drawn(t, d, SVG)
			path := filepath.Join("testdata", name+".svg")
			if *update {
				if err := os.WriteFile(path, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s differs; look at what -update makes of it", path)
			}
		})
	}
	if files, err := filepath.Glob("testdata/*.svg"); err != nil || len(files) != len(drawings()) {
		t.Errorf("got %v, %v; want a file a drawing", files, err)
	}
}

func TestSameDataSameBytes(t *testing.T) {
	for name := range drawings() {
		for _, f := range []Format{PNG, SVG, PDF} {
			t.Run(name+"/"+string(f), func(t *testing.T) {
				t.Parallel()
				if !bytes.Equal(drawn(t, drawings()[name], f), drawn(t, drawings()[name], f)) {
					t.Error("the bytes differ")
				}
			})
		}
	}
}

func TestOtherDataOtherBytes(t *testing.T) {
	tail := tails()["three-approaches"].(Tail)
	price := prices()["price"].(Price)
	requests := cases()["case"].(Case)
	ablation := ablations()["ablation"].(Ablation)
	sheet := sheets()["sheet-tails"].(TailSheet)
	compare := compares()["compare"].(Compare)
	sweep := sweeps()["sweep-numbers"].(Sweep)
	for name, change := range map[string]struct {
		drawing Drawing
		value   *float64
	}{
		"tail": {tail, &tail.Series[0].Seeds[2][3]}, "cost": {price, &price.Series[0].Points[0].Seeds[0].USDPerToken},
		"average": {price, &price.Series[0].Points[0].Seeds[0].Avg}, "P99": {price, &price.Series[0].Points[0].Seeds[0].P99},
		"request": {requests, &requests.Series[1].Requests[7].Latency}, "change": {requests, &requests.Series[1].Configs[1].At},
		"arrival": {requests, &requests.Arrivals[13]}, "level": {ablation, &ablation.Levels[2].Seeds[0].P99},
		"sheet": {sheet, &sheet.Rows[0][1].Series[0].Seeds[1][2]}, "compared": {compare, &compare.Series[0].Seeds[0].Latencies[89]},
		"compared cost": {compare, &compare.Series[1].Seeds[0].USDPerToken}, "swept": {sweep, &sweep.Panels[0].Lines[0].Points[1].Seeds[0].P99},
		"swept completion": {sweep, &sweep.Panels[0].Lines[0].Points[1].Seeds[0].Completed},
	} {
		for _, f := range []Format{PNG, SVG, PDF} {
			before := drawn(t, change.drawing, f)
			*change.value *= 1.05
			if bytes.Equal(drawn(t, change.drawing, f), before) {
				t.Errorf("%s, %s: other data, same bytes", name, f)
			}
			*change.value /= 1.05
		}
	}
}

func TestPNGIsFitForPrint(t *testing.T) {
	data := drawn(t, tails()["one-approach"], PNG)
	c, err := png.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if dpi := float64(c.Width) / columnAndHalf.Points() * 72; dpi < 200 {
		t.Errorf("got %.0f dpi", dpi)
	}
	// 300 dpi are 11811 pixels a metre.
	if want := "\x00\x00\x00\x09pHYs\x00\x00\x2e\x23\x00\x00\x2e\x23\x01"; !bytes.Contains(data, []byte(want)) {
		t.Error("the resolution is not in the file")
	}
	if _, err := png.Decode(bytes.NewReader(data)); err != nil {
		t.Errorf("not a whole PNG: %v", err)
	}
}

func TestWriteRefuses(t *testing.T) {
	tail := func(stat int, v float64) Tail {
		var l Latencies
		l[stat] = v
		return Tail{Series: []TailSeries{{Label: "SpotServe", Seeds: []Latencies{l}}}}
	}
	price := func(v CostLatency) Price {
		return Price{Series: []PriceSeries{{Label: "Fleets", Points: []PricePoint{{Label: "3", Seeds: []CostLatency{v}}}}}}
	}
	requests := func(r Request, c ...Config) Case {
		return Case{Series: []CaseSeries{{Label: "SpotServe", Requests: []Request{r}, Configs: c}}}
	}
	compared := func(d Distribution) Compare {
		return Compare{Series: []CompareSeries{{"x", 0, []Distribution{d}}}}
	}
	swept := func(p SweepPoint) Sweep {
		return Sweep{X: []string{"1"}, Panels: []SweepPanel{{Lines: []SweepLine{{"x", 0, []SweepPoint{p}}}}}}
	}
	tests := []struct {
		name    string
		drawing Drawing
		want    string
	}{
		{"no series", Tail{Text: Text{Title: "x"}}, `figure "x": no series`},
		{"no seed", Tail{Series: []TailSeries{{Label: "SpotServe"}}}, `series "SpotServe" has no seed`},
		{"NaN", tail(0, math.NaN()), `series "SpotServe": Avg is NaN; want a finite number of seconds, 0 or more`},
		{"infinite", tail(6, math.Inf(1)), `P99 is +Inf`},
		{"negative", tail(1, -1), `P90 is -1`},
		{"price: no series", Price{}, "no series"},
		{"price: no point", Price{Series: []PriceSeries{{Label: "Fleets"}}}, `series "Fleets" has no point`},
		{"price: no seed", Price{Series: []PriceSeries{{Label: "Fleets", Points: []PricePoint{{Label: "3"}}}}}, `series "Fleets": point "3" has no seed`},
		{"price: cost", price(CostLatency{-1, 1, 1}), `series "Fleets": point "3": cost is -1; want a finite number of USD a token, 0 or more`},
		{"price: average", price(CostLatency{1, math.NaN(), 1}), "average is NaN; want a finite number of seconds"},
		{"price: P99", price(CostLatency{1, 1, math.Inf(1)}), "P99 is +Inf"},
		{"case: no series", Case{}, "no series"},
		{"case: no request", Case{Series: []CaseSeries{{Label: "SpotServe"}}}, `series "SpotServe" has no request`},
		{"case: arrivals", Case{Arrivals: []float64{-1}, Series: []CaseSeries{{}}}, "arrival is -1"},
		{"case: arrival", requests(Request{math.NaN(), 1}), `series "SpotServe": arrival is NaN`},
		{"case: latency", requests(Request{1, -2}), `series "SpotServe": latency is -2`},
		{"case: time", requests(Request{1, 1}, Config{-1, "1x2x8"}), `time of configuration 1x2x8 is -1`},
		{"case: order", requests(Request{1, 1}, Config{5, "1x2x8"}, Config{3, "2x2x8"}), "configuration 2x2x8 at 3 s comes after one at 5 s"},
		{"ablation: no level", Ablation{}, "no series"},
		{"sheet: no series", TailSheet{Rows: [][]TailPanel{{{}}}}, "no series"},
		{"sheet: NaN", TailSheet{Rows: [][]TailPanel{{{Series: tail(1, math.NaN()).Series}}}}, "P90 is NaN"},
		{"workload sheet: no series", WorkloadSheet{Columns: []WorkloadColumn{{}}}, "no series"},
		{"workload sheet: case", WorkloadSheet{Columns: []WorkloadColumn{{Case: requests(Request{1, -2})}}}, "latency is -2"},
		{"ablation sheet: no panel", AblationSheet{}, "no series"},
		{"ablation sheet: NaN", AblationSheet{Panels: []AblationPanel{{"x", []Level{{"whole", []Latency{{math.NaN(), 1}}}}}}}, "Average is NaN"},
		{"compare: no series", Compare{}, "no series"},
		{"compare: no seed", Compare{Series: []CompareSeries{{Label: "x"}}}, `series "x" has no seed`},
		{"compare: SLO", Compare{SLO: -1, Series: []CompareSeries{{}}}, "SLO is -1"},
		{"compare: no latency", compared(Distribution{}), `series "x": no latency`},
		{"compare: too many", compared(Distribution{Latencies: []float64{1, 2}, Accepted: 1}), "2 requests were answered and 1 accepted"},
		{"compare: order", compared(Distribution{Latencies: []float64{2, 1}, Accepted: 2}), "the latencies do not ascend"},
		{"compare: latency", compared(Distribution{Latencies: []float64{-1}, Accepted: 2}), "latency is -1"},
		{"compare: cost", compared(Distribution{Latencies: []float64{1}, Accepted: 2, USDPerToken: math.Inf(1)}), "cost is +Inf"},
		{"sweep: nothing", Sweep{}, "no series"},
		{"sweep: numbers", Sweep{XName: "rate", X: []string{"1"}, Values: []float64{1, 2}}, "2 numbers for 1 values of rate"},
		{"sweep: order", Sweep{XName: "rate", X: []string{"1", "1"}, Values: []float64{1, 1}}, "the values of rate do not ascend"},
		{"sweep: beyond", swept(SweepPoint{X: 1, Seeds: make([]SweepMeasure, 1)}), `line "x": point at value 1 of 1`},
		{"sweep: no seed", swept(SweepPoint{}), `line "x": point "1" has no seed`},
		{"sweep: negative", swept(SweepPoint{Seeds: []SweepMeasure{{Avg: -1}}}), `line "x": point "1": Average (s) is -1`},
		{"ablation: NaN", Ablation{Levels: []Level{{"whole", []Latency{{1, math.NaN()}}}}}, `level "whole": P99 is NaN`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, f := range []Format{PNG, SVG, PDF} {
				var buf bytes.Buffer
				err := Write(&buf, f, tt.drawing)
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("%s: got %v, want %s", f, err, tt.want)
				}
				if buf.Len() > 0 {
					t.Errorf("%s: wrote %d bytes", f, buf.Len())
				}
			}
		})
	}
	if err := Write(&bytes.Buffer{}, "bmp", tails()["one-approach"]); err == nil || err.Error() != `figure format "bmp": allowed are png, svg and pdf` {
		t.Errorf("got %v", err)
	}
}
