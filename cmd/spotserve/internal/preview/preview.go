// Package preview says what an experiment comes to before it is run: its fleet,
// its requests, and the first configuration that the planner will choose.
package preview

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spotserve/spotserve/cmd/spotserve/internal/virtual"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/sim"
)

// Preview is what one run comes to. Its JSON names are a promise to scripts.
type Preview struct {
	EndS float64 `json:"end_s"` // length of the availability trace

	// Nodes that the trace has up at 0 s, at least and at most. In a closed loop
	// they are the spot capacity.
	FirstNodes  int `json:"first_nodes"`
	FewestNodes int `json:"fewest_nodes"`
	MostNodes   int `json:"most_nodes"`
	GPUsPerNode int `json:"gpus_per_node"`
	// MaxInstances is the most that a closed loop asks for; 0: the trace decides.
	MaxInstances int `json:"max_instances,omitempty"`

	Requests     int     `json:"requests"`
	RateRPS      float64 `json:"rate_rps"` // mean
	PromptTokens int     `json:"prompt_tokens"`
	OutputTokens int     `json:"output_tokens"`

	// Config is the first configuration that works, DxPxM; empty: none ever does.
	Config        string  `json:"config"`
	ConfigAtS     float64 `json:"config_at_s"`
	BatchLimit    int     `json:"batch_limit"`
	LatencyS      float64 `json:"latency_s"`      // expected of one batch
	ThroughputRPS float64 `json:"throughput_rps"` // expected of all pipelines
	RequiredRPS   float64 `json:"required_rps"`   // that the planner asks of it
	Why           string  `json:"why"`
}

// Sustained tells whether the first configuration is expected to keep up.
func (p Preview) Sustained() bool { return p.Config != "" && p.ThroughputRPS >= p.RequiredRPS }

// errSeen ends a simulation that has shown what was asked for.
var errSeen = errors.New("seen")

// Of plays a run in virtual time until the planner has chosen a configuration
// that works, at most to its end.
func Of(spec experiment.Spec, timeline experiment.Timeline) (Preview, error) {
	p := Preview{
		EndS: timeline.End.Seconds(), GPUsPerNode: spec.Instance.GPUs,
		Requests: len(timeline.Arrivals), RateRPS: spec.ArrivalRate,
		PromptTokens: spec.PromptTokens, OutputTokens: spec.OutputTokens,
		RequiredRPS: spec.RequiredThroughput,
	}
	if spec.Provision == experiment.ClosedLoop {
		p.MaxInstances = spec.Provisioning.MaxInstances
	}
	if spec.RateWindow > 0 {
		p.RequiredRPS = spec.ArrivalRate * spec.Headroom
	}
	p.FirstNodes, p.FewestNodes, p.MostNodes = nodes(timeline)
	spec, timeline = virtual.Simulated(spec, timeline)
	err := sim.Run("preview", spec, timeline, func(ev event.Event) error {
		chosen, ok := ev.Body.(event.ConfigChosen)
		if !ok || chosen.Config.IsZero() {
			return nil
		}
		p.Config, p.ConfigAtS, p.BatchLimit, p.Why = chosen.Config.String(), chosen.ChangeAt.Seconds(), chosen.BatchLimit, chosen.Why
		p.LatencyS, p.ThroughputRPS = chosen.Chosen.Latency.Seconds(), chosen.Chosen.Throughput
		return errSeen
	})
	if err != nil && !errors.Is(err, errSeen) {
		return p, fmt.Errorf("preview: %w", err)
	}
	return p, nil
}

// nodes counts what is up at the start, at least and at most.
func nodes(timeline experiment.Timeline) (first, fewest, most int) {
	up := 0
	for i, change := range timeline.Changes {
		switch change.Kind {
		case experiment.Add:
			up += len(change.Instances)
		case experiment.Remove:
			up -= len(change.Instances)
		case experiment.Throughput:
		}
		// Changes of one instant are one.
		if i+1 < len(timeline.Changes) && timeline.Changes[i+1].At == change.At {
			continue
		}
		if change.At == 0 {
			first, fewest = up, up
		}
		fewest, most = min(fewest, up), max(most, up)
	}
	return first, fewest, most
}

// Range is the least and the most of a number over some runs.
type Range[T int | float64] struct{ Min, Max T }

// RangeOf is the range of a number over previews; there must be one.
func RangeOf[T int | float64](all []Preview, of func(Preview) T) Range[T] {
	values := make([]T, len(all))
	for i, p := range all {
		values[i] = of(p)
	}
	return Range[T]{slices.Min(values), slices.Max(values)}
}

// String is the number where there is one, else "min to max".
func (r Range[T]) String() string {
	if r.Min == r.Max {
		return number(r.Min)
	}
	return number(r.Min) + " to " + number(r.Max)
}

func number[T int | float64](v T) string {
	f, ok := any(v).(float64)
	switch {
	case !ok:
		return fmt.Sprint(v)
	case f >= 1000: // no exponents
		return fmt.Sprintf("%.0f", f)
	default:
		return fmt.Sprintf("%.4g", f)
	}
}
