package figure

import (
	"fmt"
	"strings"

	"gonum.org/v1/plot"
)

// Ablation is one panel of Figure 9: average and P99 latency of SpotServe with
// ever fewer of its parts.
type Ablation struct {
	Text
	Levels []Level
}

// Level is a group of bars.
type Level struct {
	Label string    // its lines are separated by \n
	Seeds []Latency // one a seed; without any, the place stays empty
}

// Latency is average and P99 of one run, in seconds.
type Latency struct{ Avg, P99 float64 }

// bars are the bars of a level.
var bars = [...]struct {
	name   string
	colour uint32
	value  func(Latency) float64
}{
	{"Average", 0x004488, func(l Latency) float64 { return l.Avg }},
	{"P99", 0x9ab8d6, func(l Latency) float64 { return l.P99 }},
}

// Places on the x axis, in levels.
const (
	barWidth   = 0.36
	levelsEdge = 0.55
)

func (a Ablation) check() error {
	if len(a.Levels) == 0 {
		return errNoSeries
	}
	return checkLevels(a.Levels)
}

func checkLevels(levels []Level) error {
	for _, l := range levels {
		for _, s := range l.Seeds {
			for _, b := range bars {
				if err := checkNumber(b.name, "seconds", b.value(s)); err != nil {
					return fmt.Errorf("level %q: %w", l.Label, err)
				}
			}
		}
	}
	return nil
}

func (a Ablation) page() (page, error) {
	return page{
		Text: a.Text, width: columnAndHalf, height: usualHeight, panels: onePanel(levelsPlot(a.Levels)), legend: barsLegend(),
	}, nil
}

func barsLegend() []legendEntry {
	var legend []legendEntry
	for _, b := range bars {
		legend = append(legend, legendEntry{b.name, barSample(b.colour)})
	}
	return legend
}

// levelsPlot builds the axes and the bars.
func levelsPlot(levels []Level) *plot.Plot {
	p := newPlot()
	p.Y.Label.Text = latencyAxis
	p.X.Tick.Length = 0
	p.X.Tick.Label.Font.Size = 8.5
	ticks := make(plot.ConstantTicks, len(levels))
	most, lines := smallestRange, 1
	for _, l := range levels {
		lines = max(lines, 1+strings.Count(l.Label, "\n"))
	}
	for i, l := range levels {
		ticks[i] = plot.Tick{Value: float64(i), Label: l.Label + strings.Repeat("\n ", lines-1-strings.Count(l.Label, "\n"))}
		if len(l.Seeds) == 0 {
			p.Add(nothing{float64(i)})
			continue
		}
		for j, b := range bars {
			s := SpreadOf(l.Seeds, b.value)
			x := float64(i) + (float64(j)-float64(len(bars)-1)/2)*barWidth
			p.Add(bar{x, s, b.colour, len(l.Seeds) > 1})
			most = max(most, s.Max)
		}
	}
	p.X.Tick.Marker = ticks
	p.X.Min, p.X.Max = -levelsEdge, float64(len(levels)-1)+levelsEdge
	p.Y.Min, p.Y.Max = 0, most*1.1
	return p
}
