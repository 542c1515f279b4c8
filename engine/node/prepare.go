package node

import (
	"context"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/engine/weights"
)

// prepare fetches ahead what a plan to come is expected to need, as far as there
// is memory that nobody uses. The next plan ends it.
func (n *Node) prepare(b event.PrepareMigration) {
	expected := event.ApplyMigration{Epoch: n.epoch, Config: b.Config, Placements: b.Placements, Steps: b.Steps}
	for _, p := range b.Resume {
		s := event.PipelineStart{Pipeline: p.Pipeline}
		for _, id := range p.Requests {
			s.Resume = append(s.Resume, event.AssignedRequest{Request: id})
		}
		expected.Pipelines = append(expected.Pipelines, s)
	}
	d := newDuty(n.Name, n.geometry, expected)
	ctx, cancel := context.WithCancel(n.ctx)
	if stop := n.stop; stop != nil {
		n.stop = func() { stop(); cancel() }
	} else {
		n.stop = cancel
	}
	n.after(func() {
		t := &transfer{Node: n, duty: d, ctx: ctx, ahead: true, peers: d.others}
		for _, s := range d.starts {
			t.fetchCache(s)
		}
		for _, e := range d.errands {
			if ctx.Err() != nil || n.arena.Used()+n.config.BlobBytes(e.blob) > n.Memory && n.Memory > 0 {
				return
			}
			// The plan itself finds out what is wrong, if anything is.
			_ = n.store.Load(ctx, []weights.Step{t.step(e)}, 1, func(p weights.Progress) { t.count(p, e.from) })
		}
	})
}
