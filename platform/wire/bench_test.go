package wire_test

import (
	"testing"
	"time"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/topology"
	"github.com/spotserve/spotserve/platform/wire"
)

var completed = event.Event{
	Run: "e2e-1", Source: event.SourcePlanner, Seq: 4711, Time: 612_345_678_901, Version: event.SchemaVersion,
	Cause: event.ID{Source: "node-3", Seq: 99}, Watermark: 612_345_678_901, Seen: 4711,
	Body: event.RequestCompleted{Record: event.RequestRecord{
		Request: 1234, Arrived: 580_000_000_000, Started: 590_000_000_000, Finished: 612_345_678_901,
		Compute: 22 * time.Second, PromptTokens: 512, OutputTokens: 128, Pipeline: 1,
		Config: topology.ParallelConfig{Data: 2, Pipeline: 2, Tensor: 8, Batch: 4, PrefillMicroBatches: 1, DecodeMicroBatches: 2},
	}},
}

func BenchmarkEncodeRequestCompleted(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := wire.Encode(completed); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeRequestCompleted(b *testing.B) {
	data, err := wire.Encode(completed)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := wire.Decode(data); err != nil {
			b.Fatal(err)
		}
	}
}
