package worker_test

import (
	"math/rand/v2"
	"testing"

	"github.com/spotserve/spotserve/core/draw"
	"github.com/spotserve/spotserve/core/engineop"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/vtime"
)

// TestAWorkerSurvivesAnyEngine: answers to nobody, with any numbers, between
// commands in any order. It must not panic, and asks for nothing that cannot be
// computed.
func TestAWorkerSurvivesAnyEngine(t *testing.T) {
	for seed := range uint64(2000) {
		r := draw.Stream(seed, "hostile")
		s := measuredSpec([]experiment.Batching{experiment.Pooled, experiment.IdleOnly, experiment.Continuous}[r.IntN(3)])
		s.Transformer.PrefillChunk = r.IntN(4)
		if r.IntN(3) == 0 {
			s.Approach = experiment.Rerouting
		}
		l := newLab(t, s)
		l.open(two(event.Epoch{Term: 1, N: 1}))
		for range 60 {
			if r.IntN(2) == 0 && len(l.flying) > 0 {
				l.answer(l.now.Seconds()+r.Float64(), l.flying[0].Group)
			} else {
				l.send(hostile(r, l.now))
			}
			l.until(l.now.Seconds() + 0.3*r.Float64())
			for _, c := range l.flying {
				if len(c.Sequences) == 0 {
					t.Fatalf("seed %d: step %d of group %d is empty", seed, c.Step, c.Group)
				}
				for _, s := range c.Sequences {
					if s.Start < 0 || len(s.Tokens) == 0 {
						t.Fatalf("seed %d: step %d of group %d computes %+v", seed, c.Step, c.Group, s)
					}
				}
			}
			l.told = nil
		}
	}
}

// hostile is a command, or an answer to a step that may never have been.
func hostile(r *rand.Rand, now vtime.Time) event.Body {
	epoch := event.Epoch{Term: 1, N: uint64(1 + r.IntN(3))}
	switch r.IntN(10) {
	case 0, 1, 2:
		return assign(epoch, ask(r.IntN(20), 1+r.IntN(9), r.IntN(9)-1), ask(r.IntN(20), 1+r.IntN(9), 1+r.IntN(9)))
	case 3:
		return two(epoch, ask(r.IntN(20), 1+r.IntN(5), 1+r.IntN(5)))
	case 4:
		return engineop.CacheLanded{Epoch: epoch, Pipeline: r.IntN(2), Cached: []engineop.Cached{{Request: event.RequestID(r.IntN(20)), Tokens: r.IntN(20) - 2}}}
	case 5:
		return engineop.Computed{Epoch: epoch, Group: r.IntN(4) - 1, Step: uint64(r.IntN(5)), Tokens: make([]int32, r.IntN(4))}
	case 6:
		return engineop.ComputeFailed{Epoch: epoch, Group: r.IntN(4) - 1, Step: uint64(r.IntN(5)), Reason: "none"}
	case 7:
		return event.ArrangeInterruption{Epoch: epoch, Acquisition: r.IntN(2) == 0, At: now.Add(-1e9 + 3e9)}
	case 8:
		return event.InstanceAcquired{Instances: []experiment.Instance{{Node: "a"}}}
	default:
		return []event.Body{
			event.StopPipeline{Epoch: epoch}, event.InstanceLost{Nodes: []string{"a"}}, engineop.StageUp{Epoch: epoch}, engineop.ContextLanded{Epoch: epoch},
		}[r.IntN(4)]
	}
}
