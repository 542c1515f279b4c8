package bench

import (
	"testing"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/platform/wire"
)

// BenchmarkWire encodes and decodes what runs are made of: the small fact that
// comes once a request, and the large command that comes once a node and plan.
// Both are taken from a run.
func BenchmarkWire(b *testing.B) {
	samples := make(map[event.Kind]event.Event)
	spec, timeline := resolve(b, "20B", "As")
	play(b, spec, timeline, func(ev event.Event) { samples[ev.Body.Kind()] = ev })
	for _, kind := range []event.Kind{event.RequestCompleted{}.Kind(), event.ApplyMigration{}.Kind()} {
		ev := samples[kind]
		data, err := wire.Encode(ev)
		if err != nil {
			b.Fatal(err)
		}
		b.Run("encode/"+string(kind), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if _, err := wire.Encode(ev); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("decode/"+string(kind), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if _, err := wire.Decode(data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
