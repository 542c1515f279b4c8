package figure

import (
	"math/rand/v2"
	"testing"

	"gonum.org/v1/plot/vg"
)

func prices() map[string]Drawing {
	point := func(label string, cost, avg float64, seeds int) PricePoint {
		p := PricePoint{Label: label}
		for i := range seeds {
			f := 1 + .04*float64(i)
			p.Seeds = append(p.Seeds, CostLatency{cost * 1e-5 * f, avg * f, 2 * avg * f * f})
		}
		return p
	}
	return map[string]Drawing{
		"price": Price{
			Text: Text{
				Title: "20B: cost and latency", Caption: []string{"arrivals: artifact", "3 seeds"},
				Notes: []string{"not in the store: reparallelization (As, Bs)"},
			},
			Series: []PriceSeries{
				{Label: "SpotServe", Look: 0, Points: []PricePoint{
					point("As", 2.1, 26.4, 3), point("Bs", 1.9, 28.4, 3), point("As+o", 2.83, 27.1, 3), point("Bs+o", 2.88, 26.6, 3)}},
				{Label: "Rerouting", Look: 1, Points: []PricePoint{
					point("As", 2.1, 29, 3), point("Bs", 1.9, 54, 3), point("As+o", 2.82, 27, 3), point("Bs+o", 2.88, 26.5, 3)}},
				{Label: "On-demand fleets", Look: 3, Joined: true, Points: []PricePoint{
					point("3 nodes", 1.9, 144, 3), point("4 nodes", 2.3, 101, 3), point("6 nodes", 3, 30, 3), point("8 nodes", 4, 26, 3)}},
			},
		},
		"price-one-point": Price{
			Text:   Text{Title: "20B: cost and latency"},
			Series: []PriceSeries{{Label: "On-demand fleets", Look: 3, Joined: true, Points: []PricePoint{point("4 nodes", 2.3, 101, 1)}}},
		},
		"price-zero": Price{
			Text:   Text{Title: "free, and at once"},
			Series: []PriceSeries{{Label: "SpotServe", Points: []PricePoint{point("As", 0, 0, 1), point("Bs", 0, 0, 2)}}},
		},
	}
}

func TestCostUnit(t *testing.T) {
	for _, tt := range []struct {
		most float64
		want int
	}{{4.1e-5, -5}, {1e-5, -5}, {9.9e-6, -6}, {3, 0}, {0, 0}, {250, 2}} {
		p := Price{Series: []PriceSeries{{Points: []PricePoint{{Seeds: []CostLatency{{USDPerToken: tt.most / 3}, {USDPerToken: tt.most}}}}}}}
		if got, _ := p.costUnit(); got != tt.want {
			t.Errorf("%g: got 1e%d, want 1e%d", tt.most, got, tt.want)
		}
	}
}

// The labels of points that stand apart hide nothing and stay on the canvas.
func TestLabelsHideNothing(t *testing.T) {
	canvas := vg.Rectangle{Max: vg.Point{X: 300, Y: 200}}
	size := vg.Point{X: 24, Y: 8}
	const radius = 3
	rng := rand.New(rand.NewPCG(1, 5))
	for round := range 200 {
		var obstacles []obstacle
		var points []vg.Point
		for x := range 4 {
			for y := range 3 {
				p := vg.Point{X: vg.Length(75*x) + 10 + vg.Length(rng.Float64()*40), Y: vg.Length(65*y) + 10 + vg.Length(rng.Float64()*25)}
				points = append(points, p)
				obstacles = append(obstacles, obstacle{box(p, vg.Point{X: -radius, Y: -radius}, vg.Point{X: 2 * radius, Y: 2 * radius}), overMarker})
			}
		}
		for _, p := range points {
			got := bestPlace(places(p, radius, size), canvas, obstacles).label
			if overlap(got, canvas) < size.X*size.Y-1e-6 {
				t.Fatalf("round %d: label %v leaves the canvas", round, got)
			}
			for _, o := range obstacles {
				if overlap(got, o.Rectangle) > 0 {
					t.Fatalf("round %d: label %v hides %v", round, got, o.Rectangle)
				}
			}
			obstacles = append(obstacles, obstacle{got, overLabel})
		}
	}
}

func TestLabelAwayFromItsMarkerHasALeader(t *testing.T) {
	at, size := vg.Point{X: 100, Y: 100}, vg.Point{X: 20, Y: 8}
	canvas := vg.Rectangle{Max: vg.Point{X: 200, Y: 200}}
	if p := bestPlace(places(at, 3, size), canvas, nil); p.leader != nil || p.label.Min.X <= at.X {
		t.Errorf("with nothing near: got %+v, want the place at the right", p)
	}
	crowd := []obstacle{{box(at, vg.Point{X: -12, Y: -12}, vg.Point{X: 24, Y: 24}), overMarker}}
	p := bestPlace(places(at, 3, size), canvas, crowd)
	if p.leader == nil || overlap(p.label, crowd[0].Rectangle) > 0 {
		t.Errorf("in a crowd: got %+v, want a place outside of it, with a leader", p)
	}
}
