// Command worker owns the GPUs of a node: it keeps weights and KV cache, and
// executes migrations and inference.
package main

import (
	"context"
	"os"

	"github.com/spf13/pflag"

	"github.com/spotserve/spotserve/platform/service"
	"github.com/spotserve/spotserve/services/worker"
)

func main() {
	var nats *string
	var nodes *[]string
	os.Exit(service.Service{
		Name: "worker",
		Does: "stands for nodes and executes migrations and inference with the profiled engine",
		Flags: func(fs *pflag.FlagSet) {
			nats = service.NATSFlag(fs)
			nodes = fs.StringArray("node", nil, "name of a node that this worker stands for, repeatable; '*' is every node of a run")
		},
		Setup: func(ctx context.Context, p *service.Process) error {
			b, err := p.Connect(ctx, "worker", *nats)
			if err != nil {
				return err
			}
			return worker.Setup(&p.Group, worker.Options{Bus: b, Nodes: *nodes, Log: p.Log, Metrics: p.Metrics, Ready: p.Ready})
		},
	}.Main())
}
