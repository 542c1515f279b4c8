package serve_test

import (
	"testing"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/serve"
	"github.com/spotserve/spotserve/core/topology"
	"github.com/spotserve/spotserve/core/vtime"
)

// BenchmarkManager takes one request after the other through 200 pipelines, from
// arrival to answer: what the planner does for each of them.
func BenchmarkManager(b *testing.B) {
	for _, batching := range []experiment.Batching{experiment.Pooled, experiment.Continuous} {
		b.Run(string(batching), func(b *testing.B) {
			m := serve.NewManager(serve.Policy{Batching: batching, PoolDepth: 1})
			const pipelines, running = 200, 4
			for p := range pipelines {
				m.Open(p, topology.ParallelConfig{}, serve.Room{Limit: 8, KVTokens: 1 << 20})
				m.Accept(p)
			}
			b.ReportAllocs()
			next, oldest := event.RequestID(0), event.RequestID(0)
			var one [1]event.RequestID
			for b.Loop() {
				m.Arrive(event.RequestArrived{Request: next, PromptTokens: 512, OutputTokens: 128}, vtime.Time(next))
				if len(m.Dispatch()) != 1 {
					b.Fatal("not assigned")
				}
				one[0] = next
				m.Started(0, one[:], 0, vtime.Time(next))
				next++
				if next-oldest > pipelines*running {
					if _, ok := m.Complete(0, oldest, vtime.Time(next), vtime.Time(next)); !ok {
						b.Fatal("not answered")
					}
					oldest++
				}
			}
		})
	}
}
