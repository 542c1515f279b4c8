package plotter

import (
	"fmt"
	"slices"
	"strings"
)

// caption says which runs a figure shows.
func (c contents) caption() []string {
	first := c.runs[0]
	return []string{"arrivals: " + first.Arrivals, "quirks: " + first.Quirks, c.requests(), c.seeds()}
}

// requests says how many requests the runs accepted.
func (c contents) requests() string {
	s := span(c.runs, func(m Measured) int { return m.Accepted }) + " requests"
	if len(c.runs) > 1 {
		s += " a run"
	}
	return s
}

// seeds says how many seeds each cell has, and what the figure shows of them.
func (c contents) seeds() string {
	const mostListed = 3
	counts := make([]int, len(c.cells))
	names := make([]string, len(c.cells))
	for i, cell := range c.cells {
		counts[i] = len(cell.runs)
		names[i] = fmt.Sprintf("%s %d", cell.label(), counts[i])
	}
	if slices.Min(counts) < slices.Max(counts) && len(counts) <= mostListed {
		return "seeds: " + strings.Join(names, ", ") + seedsShown
	}
	return seedsText(counts)
}

// seedsShown is what a figure shows of several seeds.
const seedsShown = " (median, min to max)"

// seedsText says how many seeds each of several points has, and what a figure
// shows of them.
func seedsText(counts []int) string {
	switch low, high := slices.Min(counts), slices.Max(counts); {
	case high == 1:
		return "1 seed"
	case low == high:
		return fmt.Sprintf("%d seeds", high) + seedsShown
	default:
		return fmt.Sprintf("%d to %d seeds", low, high) + seedsShown
	}
}

// notes tell what the figure alone would hide.
func (c contents) notes() []string {
	var notes []string
	if missing := c.missing(); len(missing) > 0 {
		notes = append(notes, "not in the store: "+strings.Join(missing, ", "))
	}
	var unfinished, late []string
	for _, cell := range c.bySeries() {
		left := func(m Measured) int { return m.Accepted - m.Completed }
		if slices.ContainsFunc(cell.runs, func(m Measured) bool { return left(m) > 0 }) {
			unfinished = append(unfinished, cell.series+" "+span(cell.runs, left))
		}
		for _, m := range cell.runs {
			if m.LateFacts > 0 {
				late = append(late, fmt.Sprintf("%s %d", m.Run.Run, m.LateFacts))
			}
		}
	}
	if len(unfinished) > 0 {
		notes = append(notes, "requests not completed in a run, and not shown: "+strings.Join(unfinished, ", "))
	}
	if len(late) > 0 {
		notes = append(notes, "facts that came late, so that the run may differ from a virtual one: "+strings.Join(late, ", "))
	}
	if len(c.unmeasured) > 0 {
		notes = append(notes, noneCompleted(c.unmeasured))
	}
	return notes
}

// span is the range of a number over runs: "652" or "648 to 652".
func span(runs []Measured, of func(Measured) int) string {
	low, high := of(runs[0]), of(runs[0])
	for _, m := range runs {
		low, high = min(low, of(m)), max(high, of(m))
	}
	if low == high {
		return fmt.Sprint(low)
	}
	return fmt.Sprintf("%d to %d", low, high)
}
