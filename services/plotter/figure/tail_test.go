package figure

import (
	"bytes"
	"flag"
	"image/color"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// spreadOut returns n seeds whose values differ by a part of the middle one.
func spreadOut(avg, p99, part float64, n int) []Latencies {
	seeds := make([]Latencies, n)
	for i := range seeds {
		f := 1 + part*(float64(i)-float64(n-1)/2)
		seeds[i] = Latencies{avg * f, .75 * p99 * f, .8 * p99 * f, .83 * p99 * f, .87 * p99 * f, .92 * p99 * f, p99 * f * f}
	}
	return seeds
}

func panels() map[string]Tail {
	return map[string]Tail{
		"three-approaches": {
			Title:   "20B on As: end-to-end latency",
			Caption: []string{"arrivals: artifact", "quirks: none", "640 to 652 requests a run", "5 seeds (median, min to max)"},
			Notes:   []string{"requests not completed in a run, and not shown: Rerouting 12 to 20"},
			Series: []TailSeries{
				{"SpotServe", 0, spreadOut(25, 58, .03, 5)},
				{"Rerouting", 1, spreadOut(60, 180, .05, 5)},
				{"Reparallelization", 2, spreadOut(48, 135, .06, 5)},
			},
		},
		"one-approach": {
			Title:   "20B on As: end-to-end latency",
			Caption: []string{"arrivals: artifact", "quirks: none", "652 requests", "1 seed"},
			Notes:   []string{"not in the store: rerouting, reparallelization"},
			Series:  []TailSeries{{"SpotServe", 0, spreadOut(25, 58, 0, 1)}},
		},
		"much-text": {
			Title: `<my "own" model> & friends on /home/me/experiments/availability/very/long/path/to/a/trace.txt: end-to-end latency`,
			Caption: []string{"arrivals: /home/me/experiments/arrivals/very/long/path/to/arrivals.txt", "quirks: artifact",
				"1 to 1000000 requests a run", "seeds: SpotServe 3, Reparallelization 2 (median, min to max)"},
			Notes: []string{strings.TrimSpace(strings.Repeat("one note that is longer than the figure is wide, ", 12)), "ünïcode → 日本"},
			Series: []TailSeries{
				{"SpotServe", 0, spreadOut(0, 0, 0, 3)},
				{"Reparallelization", 2, spreadOut(.0004, .0009, .1, 2)},
			},
		},
	}
}

func drawn(t *testing.T, p Tail, f Format) []byte {
	t.Helper()
	var buf bytes.Buffer
	if err := p.Write(&buf, f); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestGolden(t *testing.T) {
	for name, p := range panels() {
		t.Run(name, func(t *testing.T) {
			got := drawn(t, p, SVG)
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
}

func TestSameDataSameBytes(t *testing.T) {
	for _, f := range []Format{PNG, SVG, PDF} {
		t.Run(string(f), func(t *testing.T) {
			p := panels()["three-approaches"]
			first := drawn(t, p, f)
			for range 4 {
				if !bytes.Equal(drawn(t, p, f), first) {
					t.Fatal("the bytes differ")
				}
			}
			p.Series[0].Seeds[2][3]++
			if bytes.Equal(drawn(t, p, f), first) {
				t.Error("other data, same bytes")
			}
		})
	}
}

func TestPNGIsFitForPrint(t *testing.T) {
	data := drawn(t, panels()["one-approach"], PNG)
	c, err := png.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if dpi := float64(c.Width) / width.Points() * 72; dpi < 200 {
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

func TestLooksDiffer(t *testing.T) {
	grey := func(n int) int { return int(color.GrayModel.Convert(lookOf(n).line.Color).(color.Gray).Y) }
	for a := range 3 {
		for b := range a {
			if d := grey(a) - grey(b); d > -30 && d < 30 {
				t.Errorf("looks %d and %d are alike in grey: %d and %d of 255", a, b, grey(a), grey(b))
			}
			if lookOf(a).marker.Shape == lookOf(b).marker.Shape {
				t.Errorf("looks %d and %d have the same marker", a, b)
			}
			if slices.Equal(lookOf(a).line.Dashes, lookOf(b).line.Dashes) {
				t.Errorf("looks %d and %d have the same dashes", a, b)
			}
		}
	}
	for _, n := range []int{-1, 3, 1000} {
		lookOf(n) // must not panic
	}
}

func TestSpreads(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		s := TailSeries{Seeds: make([]Latencies, 1+rng.IntN(9))}
		for i := range s.Seeds {
			for j := range s.Seeds[i] {
				s.Seeds[i][j] = rng.Float64() * 100
			}
		}
		before := s.Spreads()
		for i, sp := range before {
			below, above := 0, 0
			for _, l := range s.Seeds {
				if l[i] < sp.Min || l[i] > sp.Max {
					t.Fatalf("%g is outside of %+v", l[i], sp)
				}
				if l[i] < sp.Median {
					below++
				}
				if l[i] > sp.Median {
					above++
				}
			}
			if below != above {
				t.Fatalf("%d seeds below and %d above the median %g: %v", below, above, sp.Median, s.Seeds)
			}
		}
		rng.Shuffle(len(s.Seeds), func(i, j int) { s.Seeds[i], s.Seeds[j] = s.Seeds[j], s.Seeds[i] })
		if s.Spreads() != before {
			t.Fatal("the order of the seeds matters")
		}
	}
}

func TestWriteRefuses(t *testing.T) {
	with := func(stat int, v float64) Tail {
		p := panels()["one-approach"]
		p.Series[0].Seeds[0][stat] = v
		return p
	}
	tests := []struct {
		name string
		tail Tail
		want string
	}{
		{"no series", Tail{Title: "x"}, `figure "x": no series`},
		{"no seed", Tail{Title: "x", Series: []TailSeries{{Label: "SpotServe"}}}, `series "SpotServe" has no seed`},
		{"NaN", with(0, math.NaN()), `series "SpotServe": Avg is NaN; want a finite number of seconds, 0 or more`},
		{"infinite", with(6, math.Inf(1)), `P99 is +Inf`},
		{"negative", with(1, -1), `P90 is -1`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, f := range []Format{PNG, SVG, PDF} {
				var buf bytes.Buffer
				err := tt.tail.Write(&buf, f)
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("%s: got %v, want %s", f, err, tt.want)
				}
				if buf.Len() > 0 {
					t.Errorf("%s: wrote %d bytes", f, buf.Len())
				}
			}
		})
	}
	if err := panels()["one-approach"].Write(&bytes.Buffer{}, "bmp"); err == nil || err.Error() != `figure format "bmp": allowed are png, svg and pdf` {
		t.Errorf("got %v", err)
	}
}

func TestRoundTicks(t *testing.T) {
	tests := []struct {
		high float64
		want string
	}{
		{61.5, "0 20 40 60"}, {60, "0 10 20 30 40 50 60"}, {230, "0 50 100 150 200"}, {7, "0 2 4 6"}, {1, "0 0.2 0.4 0.6 0.8 1"},
		{0.001, "0 0.0002 0.0004 0.0006 0.0008 0.001"}, {12345, "0 5000 10000"},
	}
	for _, tt := range tests {
		var labels []string
		for _, tick := range roundTicks(0, tt.high) {
			labels = append(labels, tick.Label)
		}
		if got := strings.Join(labels, " "); got != tt.want {
			t.Errorf("up to %g: got %s, want %s", tt.high, got, tt.want)
		}
	}
	rng := rand.New(rand.NewPCG(3, 4))
	for range 1000 {
		high := math.Exp(rng.Float64()*30 - 10)
		ticks := roundTicks(0, high)
		if len(ticks) < 3 || len(ticks) > 7 || ticks[0].Value != 0 || ticks[len(ticks)-1].Value > high {
			t.Errorf("up to %g: got %v", high, ticks)
		}
	}
}
