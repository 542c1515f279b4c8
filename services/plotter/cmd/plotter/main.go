// Command plotter draws the figure of every recorded run.
package main

import (
	"context"
	"os"
	"path/filepath"

	"github.com/spf13/pflag"

	"github.com/spotserve/spotserve/platform/service"
	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/platform/store/open"
	"github.com/spotserve/spotserve/services/plotter"
)

func main() {
	var nats, url, figures *string
	os.Exit(service.Service{
		Name: "plotter",
		Does: "draws the figure of every recorded run",
		Flags: func(fs *pflag.FlagSet) {
			nats, url = service.NATSFlag(fs), service.StoreFlag(fs)
			figures = fs.String("figures", filepath.Join("spotserve-data", "figures"), "folder for the figures, in PNG, SVG and PDF")
		},
		Setup: func(ctx context.Context, p *service.Process) error {
			b, err := p.Connect(ctx, "plotter", *nats)
			if err != nil {
				return err
			}
			return plotter.Setup(&p.Group, plotter.Options{
				Bus: b, Open: func(ctx context.Context) (store.Reader, error) { return open.As(p.Credentials).OpenReader(ctx, *url) },
				Folder: *figures, Log: p.Log, Metrics: p.Metrics, Ready: p.Ready,
			})
		},
	}.Main())
}
