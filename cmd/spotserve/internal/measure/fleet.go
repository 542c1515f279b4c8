package measure

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/spotserve/spotserve/core/engineop"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/migrate"
	"github.com/spotserve/spotserve/core/topology"
	"github.com/spotserve/spotserve/engine/kernel"
	"github.com/spotserve/spotserve/engine/llm"
	"github.com/spotserve/spotserve/engine/model"
	"github.com/spotserve/spotserve/engine/node"
)

// fleet is nodes of one device in this process, which reach each other by TCP on
// the loopback interface as workers do. It stands for planner and leaders.
type fleet struct {
	config model.Config
	nodes  []*node.Node

	mu        sync.Mutex
	addresses map[string]string

	epoch uint64
}

// newFleet starts nodes that hold nothing.
func newFleet(source model.Source, nodes, threads int) (_ *fleet, err error) {
	f := &fleet{config: source.Config(), addresses: make(map[string]string)}
	for i := range nodes {
		n, err := node.Open(node.Options{
			Name: name(i), Run: "profile", Model: source, Resolve: f.resolve, Kernels: kernel.Options{Threads: threads},
		})
		if err != nil {
			return nil, errors.Join(err, f.close())
		}
		f.nodes = append(f.nodes, n)
		f.mu.Lock()
		f.addresses[name(i)] = n.Address()
		f.mu.Unlock()
	}
	return f, nil
}

func name(i int) string { return fmt.Sprintf("node-%d", i) }

func (f *fleet) resolve(_ context.Context, node string) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if a, ok := f.addresses[node]; ok {
		return a, nil
	}
	return "", fmt.Errorf("there is no node %s", node)
}

func (f *fleet) close() error {
	var errs []error
	for _, n := range f.nodes {
		errs = append(errs, n.Close())
	}
	return errors.Join(errs...)
}

// reshape brings the fleet into a configuration on the nodes from first on, and
// waits until it computes. Weights that a node lacks come from the node that from
// names, -1: from the model's own place. It returns the bytes that came from other
// nodes.
func (f *fleet) reshape(ctx context.Context, c topology.ParallelConfig, first, from int) (moved int64, err error) {
	f.epoch++
	geometry := migrate.Geometry{Layers: f.config.Layers, Leaves: f.config.Leaves}
	parts := make([]event.ApplyMigration, len(f.nodes))
	pipelines := make([][]topology.Placement, c.Data)
	for i := range c.Data * c.Pipeline * c.Tensor {
		p := topology.Placement{Device: topology.Device{Node: name(first + i)}, Position: topology.PositionOf(c, i)}
		parts[first+i].Placements = []topology.Placement{p}
		pipelines[p.Position.Data] = append(pipelines[p.Position.Data], p)
		if from < 0 {
			continue
		}
		region := geometry.Region(c, p.Position)
		for layer := region.FirstLayer; layer < region.EndLayer; layer++ {
			step := migrate.Step{
				Kind: migrate.ModelContext, Pipeline: p.Position.Data, Stage: p.Position.Pipeline, Layer: layer,
				Leaves: 1<<region.EndLeaf - 1<<region.FirstLeaf, From: topology.Device{Node: name(from)}, To: p.Device,
			}
			parts[first+i].Steps = append(parts[first+i].Steps, step)
			parts[from].Steps = append(parts[from].Steps, step)
		}
	}
	for d, members := range pipelines {
		for i, m := range members {
			part := &parts[first+m.Position.Rank(c)]
			part.Pipelines = append(part.Pipelines, event.PipelineStart{Pipeline: d, Leader: i == 0, Devices: members})
		}
	}
	for i, n := range f.nodes {
		parts[i].Epoch, parts[i].Config = f.at(), c
		n.Do(engineop.Reshape{Part: parts[i]})
	}
	for i, n := range f.nodes {
		leads := len(parts[i].Pipelines) > 0 && parts[i].Pipelines[0].Leader
		for landed, open := false, !leads; !landed || !open; {
			b, err := await(ctx, n)
			if err != nil {
				return moved, err
			}
			switch b := b.(type) {
			case engineop.ContextLanded:
				if b.Epoch == f.at() {
					landed, moved = true, moved+b.Bytes
				}
			case engineop.CacheLanded:
				open = open || b.Epoch == f.at()
			}
		}
	}
	return moved, nil
}

func (f *fleet) at() event.Epoch { return event.Epoch{Term: 1, N: f.epoch} }

// await is the next answer of a node.
func await(ctx context.Context, n *node.Node) (event.Body, error) {
	select {
	case b := <-n.Events():
		return b, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// step computes a batch on a pipeline that the node leads, releases what has
// ended, and returns the tokens.
func (f *fleet) step(ctx context.Context, leader, pipeline int, number uint64, batch []llm.Sequence, release []event.RequestID) ([]int32, error) {
	op := engineop.Compute{Epoch: f.at(), Pipeline: pipeline, Step: number, Release: release}
	for _, s := range batch {
		op.Sequences = append(op.Sequences, engineop.Sequence{Request: event.RequestID(s.ID), Start: s.Start, Tokens: s.Tokens, Sample: s.Sample})
	}
	n := f.nodes[leader]
	n.Do(op)
	for {
		b, err := await(ctx, n)
		if err != nil {
			return nil, err
		}
		switch b := b.(type) {
		case engineop.Computed:
			if b.Epoch == op.Epoch && b.Step == op.Step {
				return b.Tokens, nil
			}
		case engineop.ComputeFailed:
			if b.Epoch == op.Epoch && b.Step == op.Step {
				return nil, errors.New(b.Reason)
			}
		}
	}
}
