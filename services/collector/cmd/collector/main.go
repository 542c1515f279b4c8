// Command collector sinks every fact of the runs to SQL, once.
package main

import (
	"context"
	"os"

	"github.com/spf13/pflag"

	"github.com/spotserve/spotserve/platform/service"
	"github.com/spotserve/spotserve/platform/store/open"
	"github.com/spotserve/spotserve/services/collector"
)

func main() {
	var nats, url *string
	var keep collector.Retention
	os.Exit(service.Service{
		Name: "collector",
		Does: "sinks every fact to SQL, once",
		Flags: func(fs *pflag.FlagSet) {
			nats, url = service.NATSFlag(fs), service.StoreFlag(fs)
			keep.AddFlags(fs)
		},
		Setup: func(ctx context.Context, p *service.Process) error {
			w, err := open.As(p.Credentials).Open(ctx, *url)
			if err != nil {
				return err
			}
			p.AtExit(w.Close)
			b, err := p.Connect(ctx, "collector", *nats)
			if err != nil {
				return err
			}
			holder, err := service.Holder()
			if err != nil {
				return err
			}
			return collector.Setup(&p.Group, collector.Options{
				Holder: holder, Bus: b, Store: w, Log: p.Log, Metrics: p.Metrics, Ready: p.Ready, Tracer: p.Tracer, Retention: keep,
			})
		},
	}.Main())
}
