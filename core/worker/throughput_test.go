package worker_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/vtime"
)

// TestContinuousSecondsPredictsAFullBatch: a pool that is never empty keeps the
// batch at its limit, and requests take what the controller expects, to the share
// by which joint prefills are cheaper than single ones.
func TestContinuousSecondsPredictsAFullBatch(t *testing.T) {
	for _, limit := range []int{1, 2, 4, 8} {
		s := spec()
		s.Batching, s.CommitInterval = experiment.Continuous, 32
		s.Profile.Tensors = []cost.TensorProfile{{Tensor: 1, Rows: []cost.PhaseLatency{
			{Batch: 1, Prefill: 200, Decode: 50}, {Batch: 8, Prefill: 1500, Decode: 64},
		}}}
		start := plan(epoch1, 7)
		start.BatchLimit, start.KVTokens = limit, 1<<20
		n := newNode(t, s)
		n.send(start)
		n.until(8)
		const count, output = 3000, 40
		r := rand.New(rand.NewPCG(uint64(limit), 1))
		var pool []event.AssignedRequest
		for i := range count {
			pool = append(pool, event.AssignedRequest{
				Request: event.RequestID(i), PromptTokens: 50 + r.IntN(101), OutputTokens: output - 20 + r.IntN(41),
			})
		}
		n.send(event.AssignRequests{Epoch: epoch1, Requests: pool})
		n.until(1e6)
		var first, last vtime.Time
		answered := 0
		for _, f := range n.facts {
			if b, ok := f.Body.(event.RequestsLeft); ok {
				if answered == 0 {
					first = b.At
				}
				answered, last = answered+len(b.Requests), b.At
			}
		}
		if answered != count {
			t.Fatalf("%d of %d requests are answered", answered, count)
		}
		latency, err := cost.NewLatencyModel(s.Model, s.Profile)
		if err != nil {
			t.Fatal(err)
		}
		got := float64(count) / last.Sub(first).Seconds()
		want := float64(limit) / latency.ContinuousSeconds(config, limit, 100, output)
		if math.Abs(got/want-1) > 0.05 {
			t.Errorf("a batch of %d answers %.4f requests/s, expected %.4f", limit, got, want)
		}
		t.Logf("a batch of %d answers %.4f requests/s, expected %.4f (%+.1f %%)", limit, got, want, 100*(got/want-1))
	}
}
