// Command worker owns the GPUs of a node: it keeps weights and KV cache, and
// executes migrations and inference.
package main

import (
	"context"
	"os"

	"github.com/spf13/pflag"

	"github.com/spotserve/spotserve/platform/notice/open"
	"github.com/spotserve/spotserve/platform/service"
	"github.com/spotserve/spotserve/services/worker"
)

func main() {
	var nats *string
	var nodes *[]string
	var notices open.Options
	os.Exit(service.Service{
		Name: "worker",
		Does: "stands for nodes and executes migrations and inference with the profiled engine",
		Flags: func(fs *pflag.FlagSet) {
			nats = service.NATSFlag(fs)
			nodes = fs.StringArray("node", nil, "name of a node that this worker stands for, repeatable; '*' is every node of a run")
			fs.StringArrayVar(&notices.Names, "notice", nil, "where the instance learns that it will go, repeatable: "+open.Allowed+"; needs one --node")
			fs.StringVar(&notices.URL, "notice-url", "", "base URL of the clouds' metadata services, of a mock for example (default: the clouds' own)")
			fs.DurationVar(&notices.Poll, "notice-poll", 0, "time between two looks for a notice (default: aws 5s, others 1s)")
			fs.DurationVar(&notices.Grace, "notice-grace", 0, "time that gcp leaves an instance after its notice (default 30s)")
		},
		Setup: func(ctx context.Context, p *service.Process) error {
			sources, err := worker.NoticeSources(ctx, notices, *nodes, p.Log)
			if err != nil {
				return err
			}
			b, err := p.Connect(ctx, "worker", *nats)
			if err != nil {
				return err
			}
			return worker.Setup(&p.Group, worker.Options{
				Bus: b, Nodes: *nodes, Notices: sources, Log: p.Log, Metrics: p.Metrics, Ready: p.Ready,
			})
		},
	}.Main())
}
