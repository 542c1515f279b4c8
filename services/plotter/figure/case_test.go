package figure

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/plot/vg"
)

func cases() map[string]Drawing {
	var arrivals []float64
	series := func(label string, look int, slow float64, configs ...Config) CaseSeries {
		s := CaseSeries{Label: label, Look: look, Configs: configs}
		for i, at := range arrivals[:len(arrivals)-4] {
			s.Requests = append(s.Requests, Request{at, slow * (20 + float64(i%9))})
		}
		return s
	}
	for at := 1.5; at < 1140; at += 9 {
		arrivals = append(arrivals, at)
	}
	var many []Config
	for i := range 60 {
		many = append(many, Config{float64(20 * i), fmt.Sprintf("%dx2x8", i%12)})
	}
	return map[string]Drawing{
		"case": Case{
			Text: Text{
				Title: "20B on B: latency of each request", Caption: []string{"arrivals: artifact", "seed 1"},
				Notes: []string{"requests not completed in a run, and not shown: SpotServe 4"},
			},
			Arrivals: arrivals,
			Series: []CaseSeries{
				series("SpotServe", 0, 1, Config{0, "2x2x8"}, Config{300, "3x3x4"}, Config{450, "3x2x8"}, Config{600, "2x2x8"}),
				series("Rerouting", 1, 2, Config{0, "1x2x8"}, Config{210, "2x2x8"}, Config{240, "1x2x8"}, Config{270, "3x2x8"}, Config{1135, "2x2x8"}, Config{1300, "9x9x9"}),
			},
		},
		"case-many-changes": Case{
			Text:     Text{Title: "much to write, and no configuration of the other"},
			Arrivals: arrivals,
			Series:   []CaseSeries{series("SpotServe", 0, 1, many...), series("Reparallelization", 2, 1)},
		},
		"case-one-request": Case{
			Text:   Text{Title: "one request, answered at once"},
			Series: []CaseSeries{{Label: "SpotServe", Requests: []Request{{0, 0}}, Configs: []Config{{0, "0x2x8"}}}},
		},
	}
}

func TestRates(t *testing.T) {
	c := Case{Arrivals: []float64{0, 10, 29.9, 30, 65, 75}}
	want := []float64{0, .1, 30, .1, 30, 1. / 30, 60, 1. / 30, 60, 2. / 15, 75, 2. / 15}
	got := c.rates()
	if len(got) != len(want)/2 {
		t.Fatalf("got %v", got)
	}
	for i, p := range got {
		if math.Abs(p.X-want[2*i]) > 1e-9 || math.Abs(p.Y-want[2*i+1]) > 1e-9 {
			t.Errorf("corner %d: got %v, want (%g, %g)", i, p, want[2*i], want[2*i+1])
		}
	}
	if got := (Case{Arrivals: []float64{0}}).rates(); len(got) != 2 {
		t.Errorf("one arrival at 0: got %v", got)
	}
}

// No arrival gets lost in the rate, whatever the arrivals.
func TestRatesCountAll(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 3))
	for range 200 {
		c := Case{Arrivals: make([]float64, 1+rng.IntN(300))}
		for i := range c.Arrivals {
			c.Arrivals[i] = rng.Float64() * 1000
		}
		sum, points := 0.0, c.rates()
		for i := 0; i < len(points); i += 2 {
			sum += points[i].Y * (points[i+1].X - points[i].X)
		}
		if math.Abs(sum-float64(len(c.Arrivals))) > 1e-6 {
			t.Fatalf("got %g arrivals of %d", sum, len(c.Arrivals))
		}
	}
}

// Names stand in the order of their spans, without overlap, on the strip, and
// near their spans. Those that have room are where they belong.
func TestPlaceNames(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 5))
	width := func(name string) vg.Length { return vg.Length(len(name)) }
	const left, right = 10, 300
	hidden := 0
	for range 2000 {
		var spans []span
		for at := vg.Length(left); at < right; at += vg.Length(rng.ExpFloat64() * 40) {
			if n := len(spans); n > 0 {
				spans[n-1].to = at
			}
			spans = append(spans, span{from: at, to: right, name: "nnnnnnnnnnnnnnnnnnnnnnnn"[:12+rng.IntN(12)]})
		}
		placeNames(spans, right, width)
		end := vg.Length(left)
		for i, s := range spans {
			room := i == 0 || spans[i-1].from+farthest+width(spans[i-1].name) <= s.from
			switch {
			case s.hidden:
				hidden++
				if room && s.to-s.from > width(s.name)+farthest {
					t.Fatalf("name %d is hidden, but has room: %+v", i, spans)
				}
			case s.at < end-1e-6 || s.at+width(s.name) > right+1e-6:
				t.Fatalf("name %d is out of its place: %+v", i, spans)
			case max(s.at-s.from, s.from-s.at) > farthest:
				t.Fatalf("name %d is far away: %+v", i, spans)
			case room && s.from+width(s.name)+farthest <= s.to && s.at != s.from:
				t.Fatalf("name %d is moved, but has room: %+v", i, spans)
			default:
				end = s.at + width(s.name)
			}
		}
	}
	if hidden == 0 {
		t.Error("no name was ever hidden")
	}
	placeNames(nil, right, width) // must not panic
}
