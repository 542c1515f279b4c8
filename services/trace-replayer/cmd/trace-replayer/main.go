// Command trace-replayer validates and resolves experiments and plays their
// availability events and request arrivals.
package main

import (
	"context"
	"os"
	"time"

	"github.com/spf13/pflag"

	"github.com/spotserve/spotserve/platform/service"
	tracereplayer "github.com/spotserve/spotserve/services/trace-replayer"
)

func main() {
	var nats *string
	var wait *time.Duration
	os.Exit(service.Service{
		Name: "trace-replayer",
		Does: "takes start events, resolves experiments, and plays their traces",
		Flags: func(fs *pflag.FlagSet) {
			nats = service.NATSFlag(fs)
			wait = fs.Duration("roll-call", tracereplayer.DefaultRollCall, "wall time that services have to say that they are here")
		},
		Setup: func(ctx context.Context, p *service.Process) error {
			b, err := p.Connect(ctx, "trace-replayer", *nats)
			if err != nil {
				return err
			}
			holder, err := service.Holder()
			if err != nil {
				return err
			}
			return tracereplayer.Setup(&p.Group, tracereplayer.Options{
				Bus: b, Log: p.Log, Metrics: p.Metrics, Ready: p.Ready, Tracer: p.Tracer, RollCall: *wait,
				Holder: holder,
			})
		},
	}.Main())
}
