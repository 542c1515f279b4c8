package worker

import (
	"github.com/spotserve/spotserve/core/engineop"
	"github.com/spotserve/spotserve/core/event"
)

// answer takes what the engine of a measured run says. What it says of another
// plan, or of a pipeline that is gone, counts for nothing.
func (w *Worker) answer(b event.Body) {
	switch b := b.(type) {
	case engineop.ContextLanded:
		if b.Epoch == w.epoch {
			w.report(event.ContextMigrated{Epoch: b.Epoch, At: w.emit.Now, Bytes: b.Bytes, DiskBytes: b.DiskBytes})
		}
	case engineop.StageUp:
		if s, ok := w.stages[b.Pipeline]; ok && s.Epoch == b.Epoch {
			s.At = w.emit.Now
			w.stages[b.Pipeline] = s
			w.stageUp(b.Pipeline)
		}
	case engineop.CacheLanded:
		if p := w.led(b.Pipeline, b.Epoch); p != nil && !p.up {
			p.computes(func(m *measured) { m.land(b.Cached) })
			p.start()
		}
	case engineop.Computed:
		if p := w.led(b.Pipeline, b.Epoch); p != nil {
			p.computes(func(m *measured) { m.computed(b) })
		}
	case engineop.ComputeFailed:
		if p := w.led(b.Pipeline, b.Epoch); p != nil {
			p.computes(func(m *measured) { m.failed(b) })
		}
	}
}

// computes calls f with the engine of a pipeline that computes.
func (p *pipeline) computes(f func(*measured)) {
	if m, ok := p.engine.(*measured); ok {
		f(m)
	}
}
