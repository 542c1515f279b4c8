package worker

import "github.com/spotserve/spotserve/core/vtime"

// PrefilledAt is when the newest requests of a pipeline's batch have their KV cache,
// by the timetable; vtime.Never if nothing runs there, or where an engine computes
// and only its answers tell.
func (w *Worker) PrefilledAt(pipeline int) vtime.Time {
	if p := w.pipelines[pipeline]; p != nil && p.engine.busy() {
		return p.engine.prefilledAt()
	}
	return vtime.Never
}

func (p *static) prefilledAt() vtime.Time { return p.batch.timetable.At(0) }

func (c *continuous) prefilledAt() vtime.Time { return c.stretch.At(0) }

func (m *measured) prefilledAt() vtime.Time { return vtime.Never }
