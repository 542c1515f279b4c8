package fidelity

import (
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
)

const (
	// gridSteps is how many values on each side of a constant are tried before
	// the last one that still holds is narrowed down.
	gridSteps = 4
	// halvings narrow a step of the grid to a 32nd of it.
	halvings = 5
	// sampleEvery is which rows are computed again where minutes are too much.
	sampleEvery = 5
)

// span is where a conclusion holds around a constant's value.
type span struct {
	from, to         float64
	reaches, extends bool // as far as the search went, downwards and upwards
}

func (s span) text() string {
	switch {
	case s.reaches && s.extends:
		return "everywhere"
	case s.reaches:
		return "up to " + digits(s.to)
	case s.extends:
		return "from " + digits(s.from)
	default:
		return "from " + digits(s.from) + " to " + digits(s.to)
	}
}

// between is the value a share of the way from a to b: in equal ratios if both
// are positive, else in equal steps.
func between(a, b, share float64) float64 {
	if a > 0 && b > 0 {
		return a * math.Pow(b/a, share)
	}
	return a + share*(b-a)
}

// edge returns the last value on the way from the constant's own to bound at
// which the margin is still positive, and whether that is the bound.
func (c constant) edge(t *testing.T, bound float64, margin func(outcome) float64) (value float64, whole bool) {
	t.Helper()
	at := func(values ...float64) []outcome {
		settings := make([]func(*scene), len(values))
		for i, v := range values {
			settings[i] = func(s *scene) { c.set(s, v) }
		}
		return outcomes(t, settings)
	}
	grid := []float64{c.base}
	for i := range gridSteps {
		grid = append(grid, between(c.base, bound, float64(i+1)/gridSteps))
	}
	tried := at(grid[1:]...)
	for i, o := range tried {
		if margin(o) > 0 {
			continue
		}
		holds, fails := grid[i], grid[i+1]
		for range halvings {
			middle := between(holds, fails, 0.5)
			if margin(at(middle)[0]) > 0 {
				holds = middle
			} else {
				fails = middle
			}
		}
		return holds, false
	}
	return bound, true
}

// around searches both sides of a constant.
func (c constant) around(t *testing.T, margin func(outcome) float64) span {
	t.Helper()
	var s span
	s.from, s.reaches = c.edge(t, c.low, margin)
	s.to, s.extends = c.edge(t, c.high, margin)
	return s
}

// breakEven is the table's line of a constant.
func (c constant) breakEven(t *testing.T) string {
	t.Helper()
	return fmt.Sprintf("| %s | %s | %s to %s | %s | %s |\n", c.name, c.value(c.base), digits(c.low), digits(c.high),
		c.around(t, outcome.lead).text(), c.around(t, outcome.order).text())
}

// TestBreakEven says how far each constant may be off before a conclusion turns.
// Without SPOTSERVE_SLOW it computes some of the lines again.
func TestBreakEven(t *testing.T) {
	whole := *update || os.Getenv("SPOTSERVE_SLOW") != ""
	var b strings.Builder
	b.WriteString("| constant | here | searched | SpotServe's P99 is the shortest | Rerouting's is below Reparallelization's |\n|---|---:|---:|---|---|\n")
	for i, c := range constants() {
		switch {
		case whole:
			b.WriteString(c.breakEven(t))
		case i%sampleEvery == 0:
			keepLine(t, "break-even", c.breakEven(t))
		}
	}
	if whole {
		keepSection(t, "break-even", b.String())
	}
}
