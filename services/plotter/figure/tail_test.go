package figure

import (
	"image/color"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// spreadOut returns n seeds whose values differ by a part of the middle one.
func spreadOut(avg, p99, part float64, n int) []Latencies {
	seeds := make([]Latencies, n)
	for i := range seeds {
		f := 1 + part*(float64(i)-float64(n-1)/2)
		seeds[i] = Latencies{avg * f, .75 * p99 * f, .8 * p99 * f, .83 * p99 * f, .87 * p99 * f, .92 * p99 * f, p99 * f * f}
	}
	return seeds
}

// tails are drawings by the names of their golden files.
func tails() map[string]Drawing {
	return map[string]Drawing{
		"three-approaches": Tail{
			Text: Text{
				Title:   "20B on As: end-to-end latency",
				Caption: []string{"arrivals: artifact", "quirks: none", "640 to 652 requests a run", "5 seeds (median, min to max)"},
				Notes:   []string{"requests not completed in a run, and not shown: Rerouting 12 to 20"},
			},
			Series: []TailSeries{
				{"SpotServe", 0, spreadOut(25, 58, .03, 5)},
				{"Rerouting", 1, spreadOut(60, 180, .05, 5)},
				{"Reparallelization", 2, spreadOut(48, 135, .06, 5)},
			},
		},
		"one-approach": Tail{
			Text: Text{
				Title:   "20B on As: end-to-end latency",
				Caption: []string{"arrivals: artifact", "quirks: none", "652 requests", "1 seed"},
				Notes:   []string{"not in the store: rerouting, reparallelization"},
			},
			Series: []TailSeries{{"SpotServe", 0, spreadOut(25, 58, 0, 1)}},
		},
		"much-text": Tail{
			Text: Text{
				Title: `<my "own" model> & friends on /home/me/experiments/availability/very/long/path/to/a/trace.txt: end-to-end latency`,
				Caption: []string{"arrivals: /home/me/experiments/arrivals/very/long/path/to/arrivals.txt", "quirks: artifact",
					"1 to 1000000 requests a run", "seeds: SpotServe 3, Reparallelization 2 (median, min to max)"},
				Notes: []string{strings.TrimSpace(strings.Repeat("one note that is longer than the figure is wide, ", 12)), "ünïcode → 日本"},
			},
			Series: []TailSeries{
				{"SpotServe", 0, spreadOut(0, 0, 0, 3)},
				{"Reparallelization", 2, spreadOut(.0004, .0009, .1, 2)},
			},
		},
	}
}

func TestLooksDiffer(t *testing.T) {
	grey := func(n int) int { return int(color.GrayModel.Convert(lookOf(n).line.Color).(color.Gray).Y) }
	for a := range numLooks {
		for b := range a {
			if d := grey(a) - grey(b); a < 4 && d > -30 && d < 30 {
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
	for _, n := range []int{-1, numLooks, 1000} {
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
