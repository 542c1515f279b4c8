package virtual

import (
	"context"
	"time"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/sim"
	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/services/collector"
)

var (
	// chunkRows is how many rows of a run are written at once. A published run
	// fits in one chunk, so it is stored whole or not at all.
	chunkRows = 8192
	// checkEvery is how many events go by between two looks at the context and
	// at the rows.
	checkEvery = 1024
)

// recorder turns the log of one run into rows and writes them, a chunk at a
// time, while the run goes on. One chunk is being written while the next one
// fills; a run that is faster than the store waits for it.
type recorder struct {
	store  store.Writer
	ctx    context.Context // that the user ends
	mapper *collector.Mapper
	began  time.Time
	rows   store.Batch
	events int
	// stopped says that the user has ended the run.
	stopped bool
	// writing gives the outcome of the chunk that is being written; nil if none is.
	writing chan error
}

func newRecorder(ctx context.Context, w store.Writer, began time.Time) *recorder {
	return &recorder{store: w, ctx: ctx, mapper: collector.NewMapper(), began: began}
}

// take is the log of sim.Run.
func (r *recorder) take(ev event.Event) error {
	r.mapper.Take(ev, r.began, &r.rows)
	if r.events++; r.events%checkEvery == 0 && r.rows.Len() >= chunkRows {
		if err := r.write(); err != nil {
			return err
		}
	}
	if r.events%checkEvery == 0 && r.ctx.Err() != nil {
		r.stopped = true
		return sim.ErrStop
	}
	return nil
}

// write begins to write the rows at hand, once those before are stored. What
// was measured is stored also for a user who has gone.
func (r *recorder) write() error {
	if err := r.wait(); err != nil {
		return err
	}
	rows, writing := r.rows, make(chan error, 1)
	go func() { writing <- r.store.Write(context.WithoutCancel(r.ctx), rows) }()
	r.rows, r.writing = store.Batch{Requests: make([]store.RequestLatency, 0, len(rows.Requests))}, writing
	return nil
}

// wait returns when nothing is being written.
func (r *recorder) wait() error {
	if r.writing == nil {
		return nil
	}
	err := <-r.writing
	r.writing = nil
	return err
}

// close writes what is left.
func (r *recorder) close() error {
	if err := r.write(); err != nil {
		return err
	}
	return r.wait()
}

// abandon closes the books of a run that ended with an error.
func (r *recorder) abandon(run string, why error) error {
	r.mapper.Abandon(run, why.Error(), &r.rows)
	return r.close()
}
