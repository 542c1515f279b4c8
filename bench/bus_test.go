package bench

import (
	"testing"

	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/bus/bustest"
	"github.com/spotserve/spotserve/platform/bus/membus"
	"github.com/spotserve/spotserve/platform/bus/natsbus"
	"github.com/spotserve/spotserve/platform/natsserver"
)

// buses are the ways that services can be joined, the shortest first.
var buses = []struct {
	name string
	open func(*testing.B) bus.Bus
}{
	{"membus", func(*testing.B) bus.Bus { return membus.New(membus.Options{}) }},
	{"jetstream-in-process", func(b *testing.B) bus.Bus {
		return connect(b, natsbus.Options{InProcess: serve(b, "")})
	}},
	{"jetstream-loopback-tcp", func(b *testing.B) bus.Bus {
		return connect(b, natsbus.Options{URL: serve(b, "127.0.0.1:0").URL()})
	}},
}

// BenchmarkPublishToHandler takes one message at a time from Publish to a
// follower, through the stream's file where there is one.
func BenchmarkPublishToHandler(b *testing.B) { overBuses(b, bustest.Latency) }

// BenchmarkThroughput lets one publisher send as fast as one follower takes.
func BenchmarkThroughput(b *testing.B) { overBuses(b, bustest.Throughput) }

func overBuses(b *testing.B, measure func(*testing.B, bus.Bus)) {
	for _, way := range buses {
		b.Run(way.name, func(b *testing.B) {
			over := way.open(b)
			defer over.Close()
			measure(b, over)
		})
	}
}

// serve runs a NATS server until the benchmark ends; without an address to
// listen on it answers in this process only.
func serve(b *testing.B, listen string) *natsserver.Server {
	b.Helper()
	s, err := natsserver.Start(natsserver.Options{StoreDir: b.TempDir(), Listen: listen})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Shutdown(); err != nil {
			b.Error(err)
		}
	})
	return s
}

func connect(b *testing.B, o natsbus.Options) bus.Bus {
	b.Helper()
	over, err := natsbus.Connect(b.Context(), o)
	if err != nil {
		b.Fatal(err)
	}
	return over
}
