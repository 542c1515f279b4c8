// Command plotter draws the figure of every recorded run.
package main

import (
	"context"
	"os"
	"path/filepath"

	"github.com/spf13/pflag"

	"github.com/spotserve/spotserve/platform/bus/natsbus"
	"github.com/spotserve/spotserve/platform/service"
	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/platform/store/open"
	"github.com/spotserve/spotserve/services/plotter"
)

func main() {
	var nats, url, figures string
	os.Exit(service.Service{
		Name: "plotter",
		Does: "draws the figure of every recorded run.",
		Flags: func(fs *pflag.FlagSet) {
			fs.StringVar(&nats, "nats", "nats://127.0.0.1:4222", "URL of the NATS server")
			fs.StringVar(&url, "store", "sqlite:"+filepath.Join("spotserve-data", "store.db"), "store: sqlite:PATH or clickhouse://user:password@host:9000/db")
			fs.StringVar(&figures, "figures", filepath.Join("spotserve-data", "figures"), "folder for the figures, in PNG, SVG and PDF")
		},
		Setup: func(ctx context.Context, p *service.Process) error {
			b, err := natsbus.Connect(ctx, natsbus.Options{URL: nats, Name: "plotter", Log: p.Log})
			if err != nil {
				return err
			}
			p.AtExit(b.Close)
			return plotter.Setup(&p.Group, plotter.Options{
				Bus: b, Open: func(ctx context.Context) (store.Reader, error) { return open.OpenReader(ctx, url) },
				Folder: figures, Log: p.Log, Metrics: p.Metrics, Ready: p.Ready,
			})
		},
	}.Main())
}
