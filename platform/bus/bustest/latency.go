package bustest

import (
	"slices"
	"testing"
	"time"

	"github.com/spotserve/spotserve/platform/bus"
)

// Latency measures the time from Publish to a follower's receipt, one message
// at a time, and reports its percentiles in microseconds.
func Latency(b *testing.B, over bus.Bus) {
	sub, err := over.Follow(b.Context(), bus.Runs, bus.Position{New: true})
	if err != nil {
		b.Fatal(err)
	}
	defer sub.Stop()
	m := bus.Outgoing{Subject: "spot.run.bench.request.arrived", Data: make([]byte, 128)}
	var took []time.Duration
	for b.Loop() {
		start := time.Now()
		if err := over.Publish(b.Context(), m); err != nil {
			b.Fatal(err)
		}
		if _, ok := <-sub.C(); !ok {
			b.Fatal(sub.Err())
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	for name, q := range map[string]float64{"p50-µs": 0.50, "p99-µs": 0.99} {
		b.ReportMetric(float64(took[int(q*float64(len(took)))])/1e3, name)
	}
}

// Throughput measures how fast a follower receives what one publisher sends.
func Throughput(b *testing.B, over bus.Bus) {
	sub, err := over.Follow(b.Context(), bus.Runs, bus.Position{New: true})
	if err != nil {
		b.Fatal(err)
	}
	defer sub.Stop()
	m := bus.Outgoing{Subject: "spot.run.bench.request.arrived", Data: make([]byte, 128)}
	b.ResetTimer()
	go func() {
		for range b.N {
			if err := over.Publish(b.Context(), m); err != nil {
				b.Error(err)
				sub.Stop()
				return
			}
		}
	}()
	for range b.N {
		if _, ok := <-sub.C(); !ok {
			b.Fatal(sub.Err())
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
}
