package bench

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/draw"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/sim"
	"github.com/spotserve/spotserve/core/vtime"
)

// BenchmarkContinuous serves 10,000 requests of about 512 + 128 tokens, 100 a
// second, on ten instances with continuous batching: with a fleet that stays,
// and with one of which three instances go and come back.
func BenchmarkContinuous(b *testing.B) {
	for _, preempted := range []int{0, 3} {
		b.Run(fmt.Sprintf("preempted=%d", preempted), func(b *testing.B) {
			spec, timeline := continuous(preempted)
			events := 0
			var end event.RunFinished
			b.ReportAllocs()
			for b.Loop() {
				if err := sim.Run("continuous", spec, timeline, func(ev event.Event) error {
					events++
					if f, ok := ev.Body.(event.RunFinished); ok {
						end = f
					}
					return nil
				}); err != nil {
					b.Fatal(err)
				}
			}
			if end.Completed < 9_900 {
				b.Fatalf("the fleet does not keep up: %+v", end)
			}
			b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(float64(events)/float64(b.N), "events/op")
			b.ReportMetric(float64(end.Interruptions), "interruptions")
		})
	}
}

// continuous is a made-up model of 7B parameters in 16 bits on made-up GPUs of
// 40 GB: a token takes about 10 ms on one of them, the prefill of 512 tokens 50.
func continuous(preempted int) (experiment.Spec, experiment.Timeline) {
	rows := func(tensor int, scale float64) cost.TensorProfile {
		return cost.TensorProfile{Tensor: tensor, Rows: []cost.PhaseLatency{
			{Batch: 1, Prefill: 1.5 * scale, Decode: 0.30 * scale}, {Batch: 8, Prefill: 11 * scale, Decode: 0.36 * scale},
			{Batch: 64, Prefill: 85 * scale, Decode: 0.75 * scale},
		}}
	}
	spec := experiment.Spec{
		Kind: experiment.Custom, Approach: experiment.SpotServe, Quirks: experiment.QuirksNone, Seed: 1, Virtual: true,
		Model: cost.Model{
			Name: "7B", Layers: 32, PaddedLayers: 32, Hidden: 4096, WeightBytes: 13_500_000_000, KVBytesPerToken: 2 * 32 * 4096 * 2,
		},
		Profile: cost.Profile{
			Name: "made-up", PromptTokens: 512, FixFactor: 1, PrefillComm: 0.5, DecodeComm: 0.05, Embed: []float64{0.2, 0.3}, MaxTensor: 4,
			Tensors: []cost.TensorProfile{rows(1, 1), rows(2, 0.6), rows(4, 0.4)},
		},
		Instance: cost.InstanceType{
			Name: "made-up", GPUs: 4, GPUMemoryBytes: 40_000_000_000, InterNodeBytesPerSecond: 6e9, IntraNodeBytesPerSecond: 100e9,
		},
		Engine: cost.EngineCosts{
			ExecutionScale: 1, JitterSigma: 0.02, EngineStart: 7 * time.Second, EngineStop: 50 * time.Millisecond,
			Planning: 300 * time.Millisecond, MigrationSetup: 500 * time.Millisecond, DaemonRestart: 12 * time.Second, DiskBytesPerSecond: 1e9,
		},
		Delays: cost.Delays{Send: 10 * time.Millisecond, Poll: 10 * time.Millisecond, Response: 20 * time.Millisecond},
		Grace:  30 * time.Second, ArrivalRate: 100, RequiredThroughput: 114, Batching: experiment.Continuous, BatchLimit: 64, PoolDepth: 1,
		PromptTokens: 512, OutputTokens: 128, LongestPrompt: 768, LongestOutput: 192, CommitInterval: 32,
		MigrationBuffer: cost.DefaultMigrationBuffer, Drain: true, End: vtime.Seconds(101),
	}
	first := experiment.Change{Kind: experiment.Add}
	for i := range 10 {
		node := fmt.Sprintf("node-%d", i)
		spec.Nodes = append(spec.Nodes, node)
		first.Instances = append(first.Instances, experiment.Instance{Node: node, Market: cost.Spot, GPUs: 4})
	}
	t := experiment.Timeline{End: spec.End, Changes: []experiment.Change{first}}
	if preempted > 0 {
		some := first.Instances[:preempted]
		t.Changes = append(t.Changes,
			experiment.Change{At: vtime.Seconds(50), Kind: experiment.Remove, Instances: some},
			experiment.Change{At: vtime.Seconds(75), Kind: experiment.Add, Instances: some})
	}
	r := draw.Stream(1, "continuous")
	for range 10_000 {
		t.Arrivals = append(t.Arrivals, experiment.Arrival{
			At: vtime.Time(r.Int64N(int64(100 * time.Second))), PromptTokens: 256 + r.IntN(513), OutputTokens: 64 + r.IntN(129),
		})
	}
	slices.SortFunc(t.Arrivals, func(a, b experiment.Arrival) int { return int(a.At - b.At) })
	return spec, t
}
