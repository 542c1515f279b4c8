package report

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/spotserve/spotserve/catalog"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/platform/store"
)

// cell is a published experiment; its runs differ in their seeds.
type cell struct {
	start event.StartExperiment // without options
	spec  experiment.Spec       // what it resolves to
}

// holds tells whether a run is one of the cell. Ablation level 0 is SpotServe
// whole, so end-to-end runs are of it too.
func (c cell) holds(run store.Run) bool {
	kind := experiment.Kind(run.Kind)
	return (kind == c.spec.Kind || c.spec.Kind == experiment.Ablation && c.spec.Level == 0 && kind == experiment.EndToEnd) &&
		run.Approach == string(c.spec.Approach) && run.Model == c.spec.Model.Name &&
		run.Trace == c.spec.Trace && run.Level == c.spec.Level
}

// command makes a run of the cell.
func (c cell) command() string {
	s := c.start
	switch s.Experiment {
	case experiment.OnDemand:
		return fmt.Sprintf("spotserve ondemand %d", s.Nodes)
	case experiment.Workload:
		return fmt.Sprintf("spotserve workload %s %s", s.Approach, s.Trace)
	case experiment.Ablation:
		if s.Level == 0 {
			return fmt.Sprintf("spotserve e2e %s %s %s", c.spec.Approach, c.spec.Model.Name, c.spec.Trace)
		}
		return fmt.Sprintf("spotserve ablation %d %s", s.Level, s.Trace)
	default:
		return fmt.Sprintf("spotserve e2e %s %s %s", s.Approach, s.Model, s.Trace)
	}
}

// published returns the published number of a metric, if the catalogue knows
// it. That of ablation level 0 is that of the end-to-end run.
func (c cell) published(metric catalog.PublishedMetric) (float64, bool) {
	known := []event.StartExperiment{c.start}
	if c.spec.Kind == experiment.Ablation && c.spec.Level == 0 {
		known = append(known, event.StartExperiment{
			Experiment: experiment.EndToEnd, Approach: string(c.spec.Approach), Model: c.spec.Model.Name, Trace: c.spec.Trace,
		})
	}
	for _, p := range catalog.Published() {
		if p.Metric == metric && slices.Contains(known, p.Start) {
			return p.Value, true
		}
	}
	return 0, false
}

// Cells returns the starts of the published experiments, without options, in the
// order of their tables. Ablation level 0 is among them, although it is an
// end-to-end run.
func Cells(kind experiment.Kind) []event.StartExperiment {
	var starts []event.StartExperiment
	add := func(s event.StartExperiment) {
		s.Experiment = kind
		starts = append(starts, s)
	}
	switch kind {
	case experiment.EndToEnd:
		for _, model := range catalog.Models() {
			for _, trace := range catalog.TracesOf(kind) {
				for _, approach := range catalog.Approaches() {
					add(event.StartExperiment{Approach: approach, Model: model, Trace: trace})
				}
			}
		}
	case experiment.OnDemand:
		for _, nodes := range catalog.Fleets() {
			add(event.StartExperiment{Nodes: nodes})
		}
	case experiment.Workload:
		for _, trace := range catalog.TracesOf(kind) {
			for _, approach := range catalog.Approaches() {
				add(event.StartExperiment{Approach: approach, Trace: trace})
			}
		}
	case experiment.Ablation:
		for _, trace := range catalog.TracesOf(kind) {
			for level := range catalog.Levels() {
				add(event.StartExperiment{Level: level, Trace: trace})
			}
		}
	case experiment.Custom: // has no published ones
	}
	return starts
}

// cells resolves the published experiments of a kind.
func cells(kind experiment.Kind) ([]cell, error) {
	var out []cell
	for _, start := range Cells(kind) {
		spec, _, err := catalog.Resolve(start)
		if err != nil {
			return nil, fmt.Errorf("report: published experiment %+v: %w", start, err)
		}
		out = append(out, cell{start, spec})
	}
	return out, nil
}

// point is what the cell is called among those of its model.
func (c cell) point() string {
	switch c.spec.Kind {
	case experiment.OnDemand:
		return strconv.Itoa(c.start.Nodes) + " nodes"
	default:
		return c.spec.Trace
	}
}
