// Command planner keeps the fleet and the queue of every run and picks its
// parallel configurations.
package main

import (
	"context"
	"os"
	"time"

	"github.com/spf13/pflag"

	"github.com/spotserve/spotserve/platform/service"
	"github.com/spotserve/spotserve/services/planner"
)

func main() {
	var nats *string
	var wait, silent *time.Duration
	os.Exit(service.Service{
		Name: "planner",
		Does: "keeps the fleet and the queue, picks configurations, plans migrations, assigns batches",
		Flags: func(fs *pflag.FlagSet) {
			nats = service.NATSFlag(fs)
			wait = fs.Duration("reorder-wait", planner.DefaultReorderWait, "wall time that an overdue event waits for a silent source")
			silent = fs.Duration("silent-after", planner.DefaultSilentAfter, "wall time without a heartbeat after which a worker is gone on without")
		},
		Setup: func(ctx context.Context, p *service.Process) error {
			b, err := p.Connect(ctx, "planner", *nats)
			if err != nil {
				return err
			}
			holder, err := service.Holder()
			if err != nil {
				return err
			}
			return planner.Setup(&p.Group, planner.Options{
				Bus: b, Log: p.Log, Metrics: p.Metrics, Ready: p.Ready, Tracer: p.Tracer, ReorderWait: *wait,
				SilentAfter: *silent, Holder: holder,
			})
		},
	}.Main())
}
