package worker

import (
	"context"

	"github.com/spf13/pflag"

	"github.com/spotserve/spotserve/platform/notice/open"
	programs "github.com/spotserve/spotserve/platform/service"
)

// Program is the worker as a program with flags of its own.
func Program() programs.Service {
	var nats *string
	var nodes *[]string
	var notices open.Options
	var engine EngineOptions
	return programs.Service{
		Name: "worker",
		Does: "stands for nodes and executes migrations and inference",
		Flags: func(fs *pflag.FlagSet) {
			nats = programs.NATSFlag(fs)
			nodes = fs.StringArray("node", nil, "name of a node that this worker stands for, repeatable; '*' is every node of a run")
			fs.StringArrayVar(&notices.Names, "notice", nil, "where the instance learns that it will go, repeatable: "+open.Allowed+"; needs one --node")
			fs.StringVar(&notices.URL, "notice-url", "", "base URL of the clouds' metadata services, of a mock for example (default: the clouds' own)")
			fs.DurationVar(&notices.Poll, "notice-poll", 0, "time between two looks for a notice (default: aws 5s, others 1s)")
			fs.DurationVar(&notices.Grace, "notice-grace", 0, "time that gcp leaves an instance after its notice (default 30s)")
			engine.AddFlags(fs)
		},
		Node: func() string {
			if len(*nodes) == 1 && (*nodes)[0] != AllNodes {
				return (*nodes)[0]
			}
			return ""
		},
		Setup: func(ctx context.Context, p *programs.Process) error {
			engine.Credentials = p.Credentials
			sources, err := NoticeSources(ctx, notices, *nodes, p.Log)
			if err != nil {
				return err
			}
			b, err := p.Connect(ctx, "worker", *nats)
			if err != nil {
				return err
			}
			return Setup(&p.Group, Options{
				Bus: b, Nodes: *nodes, Notices: sources, Engine: engine, Log: p.Log, Metrics: p.Metrics, Ready: p.Ready, Tracer: p.Tracer,
			})
		},
	}
}
