// Package node is the runtime of one node in one measured run: the context daemon
// that keeps weights and KV cache while configurations come and go, and the
// shards that compute with them.
//
// # Reshaping
//
// A plan's part of this node (engineop.Reshape) is carried out in its order: first
// the KV cache of the requests that go on, then the weights. What is here already
// stays. Each piece comes from whom the plan names; if that node is lost or does
// not have it, from any other one that the last plans named, else weights come
// from the model's own place, and cache is left out: it is computed again. A
// pipeline's stages come up one by one; its leader asks all other nodes of it, and
// opens it with the least cache of all.
//
// # What is kept
//
// Other nodes fetch what this one held before. So it keeps what the present plan
// and the one before it need, and drops everything else when a plan comes. When
// memory runs short it drops what the present plan does not need, first what the
// plan has nobody fetch, or what was fetched.
//
// # Steps
//
// The leader's device hands each step to the other ranks of the first stage; rank
// m of a stage hands it, with the activations, to rank m of the next; rank 0 of the
// last stage answers the leader. Every device computes the steps in the order in
// which they come to it, which is the leader's order on all of them, and sends on
// what it has before it takes the next: so as many micro-batches are in flight as
// there are stages. A device that fails aborts the step on all of them.
package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/spotserve/spotserve/core/engineop"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/migrate"
	"github.com/spotserve/spotserve/engine/arena"
	"github.com/spotserve/spotserve/engine/dataplane"
	"github.com/spotserve/spotserve/engine/kernel"
	"github.com/spotserve/spotserve/engine/kv"
	"github.com/spotserve/spotserve/engine/model"
	"github.com/spotserve/spotserve/engine/weights"
)

// Options are what a node needs. Zero values mean the defaults that are named.
type Options struct {
	Name string // of the node. Required.
	Run  string // Required.
	// Model is where weights come from that no node holds. Required. The node does
	// not close it.
	Model model.Source
	// Memory bounds weights and KV cache together, in bytes; 0 is no bound.
	Memory int64
	// Listen is where other nodes reach this one: "127.0.0.1:0", a free port of the
	// loopback interface.
	Listen string
	// Resolve returns the address of another node's data plane. Required.
	Resolve func(ctx context.Context, node string) (address string, err error)

	// Kernels are what the node's devices compute with, together.
	Kernels kernel.Options
	// StepTimeout is how long a step may take before it has failed, the steps before
	// it included: 5 minutes. A peer that is lost makes it fail sooner.
	StepTimeout time.Duration
	// Links are other settings of the data plane, its security among them; its node,
	// provider and callbacks are the node's own.
	Links dataplane.Options
	Log   *slog.Logger // discarded
}

// Node is the runtime. Its methods are safe for concurrent use.
type Node struct {
	Options
	log      *slog.Logger
	config   model.Config
	geometry migrate.Geometry
	arena    *arena.Arena
	store    *weights.Store
	cache    *kv.Cache
	cpu      *kernel.CPU
	server   *dataplane.Server
	client   *dataplane.Client

	ctx    context.Context // until Close
	cancel context.CancelFunc
	ops    *queue[engineop.Op]
	events *queue[event.Body]
	out    chan event.Body
	wg     sync.WaitGroup

	// The fields below belong to the goroutine that executes operations.
	epoch event.Epoch
	lines map[int]*line
	stop  context.CancelFunc // ends the transfers of the last plan
	tail  chan struct{}      // closed when all that the last plan ended has ended

	// known are the nodes that the last plan named; the tail's own.
	known []string
	kept  retention
	stats counters
}

// Open starts a node that holds nothing.
func Open(o Options) (*Node, error) {
	if o.Name == "" || o.Run == "" || o.Model == nil || o.Resolve == nil {
		return nil, errors.New("node: name, run, model and a way to resolve addresses are required")
	}
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	if o.StepTimeout <= 0 {
		o.StepTimeout = 5 * time.Minute
	}
	n := &Node{
		Options: o, log: o.Log, config: o.Model.Config(),
		ops: newQueue[engineop.Op](), events: newQueue[event.Body](), out: make(chan event.Body),
		lines: make(map[int]*line), tail: make(chan struct{}),
	}
	close(n.tail)
	if n.log == nil {
		n.log = slog.New(slog.DiscardHandler)
	}
	if err := n.config.Validate(); err != nil {
		return nil, fmt.Errorf("node %s: %w", o.Name, err)
	}
	n.geometry = migrate.Geometry{Layers: n.config.Layers, Leaves: n.config.Leaves}
	if err := n.makeRoom(); err != nil {
		return nil, fmt.Errorf("node %s: %w", o.Name, err)
	}
	if err := n.connect(); err != nil {
		return nil, fmt.Errorf("node %s: %w", o.Name, err)
	}
	n.cpu = kernel.New(o.Kernels)
	n.ctx, n.cancel = context.WithCancel(context.Background())
	n.wg.Go(n.execute)
	n.wg.Go(n.deliver)
	return n, nil
}

// connect opens the data plane.
func (n *Node) connect() (err error) {
	o := n.Links
	o.Node, o.Resolve, o.Provider, o.Delivered = n.Name, n.Resolve, provider{n}, n.delivered
	if o.Log == nil {
		o.Log = n.log
	}
	if o.Refusals == nil {
		o.Refusals = dataplane.NewRefusals(o.Log)
	}
	if n.client, err = dataplane.NewClient(o); err != nil {
		return err
	}
	if n.server, err = dataplane.Listen(n.Listen, o); err != nil {
		return errors.Join(err, n.client.Close())
	}
	return nil
}

// Address is where other nodes reach this one, host:port.
func (n *Node) Address() string { return n.server.Addr() }

// Do has an operation executed. It does not wait. Operations are executed in the
// order of the calls; GiveUp is none of the engine's and does nothing.
func (n *Node) Do(op engineop.Op) { n.ops.push(op) }

// Events are the answers. The channel is never closed.
func (n *Node) Events() <-chan event.Body { return n.out }

// Close ends everything and frees all memory.
func (n *Node) Close() error {
	n.cancel()
	n.wg.Wait()
	err := errors.Join(n.server.Close(), n.client.Close())
	n.cpu.Close()
	n.clear()
	return err
}

func (n *Node) emit(b event.Body) { n.events.push(b) }

// deliver hands the answers over in their order.
func (n *Node) deliver() {
	for {
		b, ok := n.events.pop(n.ctx.Done())
		if !ok {
			return
		}
		select {
		case n.out <- b:
		case <-n.ctx.Done():
			return
		}
	}
}

// execute carries out one operation after the other. What takes time goes on
// behind it.
func (n *Node) execute() {
	defer func() {
		n.end(nil)
		<-n.tail
	}()
	for {
		op, ok := n.ops.pop(n.ctx.Done())
		if !ok {
			return
		}
		switch op := op.(type) {
		case engineop.Reshape:
			n.reshape(op.Part)
		case engineop.Prepare:
			n.prepare(op.Part)
		case engineop.Compute:
			n.compute(op)
		case engineop.Halt:
			if l := n.lines[op.Pipeline]; l != nil && l.epoch == op.Epoch {
				l.stop()
			}
		case engineop.Clear:
			n.end(nil)
			n.after(n.clear)
		}
	}
}

// compute begins a step of a pipeline that this node leads.
func (n *Node) compute(op engineop.Compute) {
	l := n.lines[op.Pipeline]
	if l == nil || l.epoch != op.Epoch || !l.leads {
		n.emit(engineop.ComputeFailed{
			Epoch: op.Epoch, Pipeline: op.Pipeline, Group: op.Group, Step: op.Step,
			Reason: fmt.Sprintf("node %s does not lead pipeline %d of epoch %s", n.Name, op.Pipeline, op.Epoch),
		})
		return
	}
	l.submit(op)
}

// end stops all pipelines but those that are kept, and the transfers. The tail is
// closed when they have ended.
func (n *Node) end(keep []int) {
	if n.stop != nil {
		n.stop()
		n.stop = nil
	}
	before := n.tail
	var ending []*line
	for index, l := range n.lines {
		if !slices.Contains(keep, index) {
			l.stop()
			ending = append(ending, l)
			delete(n.lines, index)
		}
	}
	tail := make(chan struct{})
	n.tail = tail
	n.wg.Go(func() {
		defer close(tail)
		<-before
		for _, l := range ending {
			<-l.done
		}
	})
}

// after has f done when the tail has come, as a part of it.
func (n *Node) after(f func()) {
	before, tail := n.tail, make(chan struct{})
	n.tail = tail
	n.wg.Go(func() {
		defer close(tail)
		<-before
		f()
	})
}

// reshape begins to carry out a plan.
func (n *Node) reshape(b event.ApplyMigration) {
	if !n.epoch.Less(b.Epoch) {
		n.log.Warn("ignore a plan that is not newer than the last", "epoch", b.Epoch, "last", n.epoch)
		return
	}
	n.epoch = b.Epoch
	n.end(b.Keep)
	d := newDuty(n.Name, n.geometry, b)
	if misfits := d.leaveOut(); len(misfits) > 0 {
		n.log.Error("a plan has pipelines that cannot be", "epoch", b.Epoch, "pipelines", misfits)
	}
	var ctx context.Context
	ctx, n.stop = context.WithCancel(n.ctx)
	var lines []*line
	if len(d.starts) > 0 {
		mesh, err := n.join(d)
		if err != nil {
			n.log.Error("the pipelines of a plan cannot start", "epoch", b.Epoch, "error", err)
			d.starts = nil
		}
		for _, s := range d.starts {
			l := newLine(n, s, mesh)
			n.lines[s.index] = l
			n.wg.Go(l.run)
			lines = append(lines, l)
		}
	}
	var kept []*line
	for _, index := range b.Keep {
		if l := n.lines[index]; l != nil {
			kept = append(kept, l)
		}
	}
	n.after(func() {
		n.retain(d, kept)
		n.transfer(ctx, d, lines)
	})
}
