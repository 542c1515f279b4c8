package bench

import (
	"fmt"
	"testing"

	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/tune"
)

// BenchmarkController makes one decision for fleets of growing size: it
// enumerates and prices every configuration that fits.
func BenchmarkController(b *testing.B) {
	spec, _ := resolve(b, "20B", "As")
	latency, err := cost.NewLatencyModel(spec.Model, spec.Profile)
	if err != nil {
		b.Fatal(err)
	}
	controller := tune.NewParallelizationController(latency, cost.MemoryModel{
		Model: spec.Model, GPUMemoryBytes: spec.Instance.GPUMemoryBytes,
		MigrationBuffer: cost.DefaultMigrationBuffer, TokensPerSeq: spec.PromptTokens + spec.OutputTokens,
	})
	for _, nodes := range []int{10, 100, 1000} {
		b.Run(fmt.Sprintf("nodes=%d", nodes), func(b *testing.B) {
			request := tune.Request{
				GPUs: nodes * spec.Instance.GPUs, RequiredThroughput: spec.RequiredThroughput,
				BatchLimit: spec.BatchLimit, PromptTokens: spec.PromptTokens, OutputTokens: spec.OutputTokens,
			}
			b.ReportAllocs()
			for b.Loop() {
				if controller.Choose(request).Best.Config.IsZero() {
					b.Fatal("nothing fits")
				}
			}
		})
	}
}
