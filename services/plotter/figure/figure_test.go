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
	for _, kind := range []map[string]Drawing{tails(), prices(), cases(), ablations()} {
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
	for name, change := range map[string]struct {
		drawing Drawing
		value   *float64
	}{
		"tail": {tail, &tail.Series[0].Seeds[2][3]}, "cost": {price, &price.Series[0].Points[0].Seeds[0].USDPerToken},
		"average": {price, &price.Series[0].Points[0].Seeds[0].Avg}, "P99": {price, &price.Series[0].Points[0].Seeds[0].P99},
		"request": {requests, &requests.Series[1].Requests[7].Latency}, "change": {requests, &requests.Series[1].Configs[1].At},
		"arrival": {requests, &requests.Arrivals[13]}, "level": {ablation, &ablation.Levels[2].Seeds[0].P99},
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
