package figure

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// measured is a run with latencies of a skewed distribution.
func measured(seed uint64, n, accepted int, scale, usd float64) Distribution {
	rng := rand.New(rand.NewPCG(seed, 7))
	d := Distribution{Accepted: accepted, USDPerToken: usd}
	for range n {
		d.Latencies = append(d.Latencies, scale*(1+rng.ExpFloat64()))
	}
	slices.Sort(d.Latencies)
	return d
}

// compares are drawings by the names of their golden files.
func compares() map[string]Drawing {
	return map[string]Drawing{
		"compare": Compare{
			Text: Text{Title: "20B on As: latency and cost", Caption: []string{"they differ in: approach"}}, SLO: 40,
			Series: []CompareSeries{
				{"SpotServe", 0, []Distribution{measured(1, 90, 92, 9, 21e-6), measured(2, 90, 90, 9.5, 22e-6)}},
				{"Rerouting", 1, []Distribution{measured(3, 90, 120, 15, 9e-6), measured(4, 80, 120, 14, 8e-6)}},
				{"On demand", 5, []Distribution{measured(5, 90, 90, 6, 41e-6)}},
			},
		},
		"compare-one-request": Compare{
			Text:   Text{Title: "one request of a thousand"},
			Series: []CompareSeries{{"SpotServe", 0, []Distribution{{[]float64{0}, 1000, 0}}}},
		},
	}
}

// TestWithin: the time in which a part of the accepted requests is answered is
// the latency of the last of that part, counted naively.
func TestWithin(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 9))
	for range 300 {
		n := 1 + rng.IntN(30)
		d := measured(rng.Uint64(), n, n+rng.IntN(10), 5, 0)
		for step := 1; step <= 20; step++ {
			part := float64(step) / 20
			got := d.within(part)
			answered := 0
			for _, l := range d.Latencies {
				if l <= got {
					answered++
				}
			}
			needed := part * float64(d.Accepted)
			if math.IsInf(got, 1) {
				if float64(n) >= needed+1e-9 {
					t.Fatalf("%d of %d answered: never %g of all", n, d.Accepted, part)
				}
				continue
			}
			if float64(answered) < needed-1e-9 || float64(answered-1) >= needed+1e-9 {
				t.Fatalf("within %g s %d of %d were answered, want %g", got, answered, d.Accepted, needed)
			}
		}
	}
}

// TestCurveEndsWhereRequestsAreNotAnswered: what was not answered is not drawn
// as if it had been.
func TestCurveEndsWhereRequestsAreNotAnswered(t *testing.T) {
	s := CompareSeries{Seeds: []Distribution{measured(1, 75, 100, 9, 0), measured(2, 85, 100, 9, 0), measured(3, 95, 100, 9, 0)}}
	line, band := s.curve()
	if got := line[len(line)-1].Y; got != 85 {
		t.Errorf("the median curve ends at %g %%, want 85", got)
	}
	most := 0.0
	for _, at := range band {
		most = max(most, at.Y)
	}
	if most != 75 {
		t.Errorf("the band ends at %g %%, want 75", most)
	}
	for i := 1; i < len(line); i++ {
		if line[i].X < line[i-1].X {
			t.Fatalf("the curve goes back at %v", line[i])
		}
	}
}

func TestShort(t *testing.T) {
	for v, want := range map[float64]string{0: "0.00", 1.234: "1.23", 9.994: "9.99", 9.996: "10.0", 21.44: "21.4", 99.96: "100", 1234.5: "1234"} {
		if got := short(v); got != want {
			t.Errorf("%g: got %s, want %s", v, got, want)
		}
	}
}
