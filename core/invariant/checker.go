// Package invariant checks the promises of docs/invariants.md on a run's
// events, one event at a time.
package invariant

import (
	"fmt"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/internal/idset"
	"github.com/spotserve/spotserve/core/topology"
	"github.com/spotserve/spotserve/core/vtime"
)

// Checker follows one run. It keeps the first broken promise. Of requests that
// have ended it knows no more than that.
type Checker struct {
	open      map[event.RequestID]*life
	ended     idset.Set
	epoch     event.Epoch
	devices   map[topology.Device]topology.DevicePosition
	filled    map[topology.DevicePosition]topology.Device
	pipelines pipelines
	batches   map[pipeline]*batch // of living pipelines with continuous batching
	nodes     nodes
	working   map[string]bool // nodes of the last plan
	buffer    int64           // U_max; 0 if the approach keeps none
	terminal  int
	accepted  int
	err       error
}

// life is what a request has come to.
type life struct {
	tokens    int // prompt and output
	committed int
	reported  report // the last one that the planner has not acted on yet
	answer    []int32
}

// report is a pipeline's word on how far a request has come. It commits the
// tokens when the planner takes it.
type report struct {
	committed int
	by        pipeline
	taken     vtime.Time
}

// NewChecker returns a checker for the events of one run.
func NewChecker() *Checker {
	return &Checker{
		open: make(map[event.RequestID]*life), batches: make(map[pipeline]*batch),
		pipelines: pipelines{lost: make(map[pipeline]vtime.Time)}, nodes: make(nodes), working: make(map[string]bool),
	}
}

// Err returns the first broken promise, nil if all hold.
func (c *Checker) Err() error { return c.err }

// Take checks one event against all that came before.
func (c *Checker) Take(ev event.Event) {
	if c.err != nil {
		return
	}
	switch b := ev.Body.(type) {
	case event.RunStarted:
		if b.Spec.BoundsMigration() {
			c.buffer = b.Spec.MigrationBuffer
		}
	case event.MigrationPlanned:
		c.migration(ev, b)
	case event.RequestArrived:
		if c.open[b.Request] == nil && !c.ended.Has(uint64(b.Request)) {
			c.open[b.Request] = &life{tokens: b.PromptTokens + b.OutputTokens}
			c.accepted++
		}
	case event.RequestRefused:
		c.end(ev, b.Request)
		c.ended.Remove(uint64(b.Request)) // it may be sent again
	case event.RequestCompleted:
		c.answer(ev, b.Record.Request, 0, b.Output)
		c.end(ev, b.Record.Request)
		c.record(ev, b.Record)
		c.whole(ev, b)
	case event.RequestUnfinished:
		c.end(ev, b.Record.Request)
		c.record(ev, b.Record)
	case event.TokensCommitted:
		c.generated(ev, b.Generated)
	case event.BatchCompleted:
		c.generated(ev, b.Generated)
	case event.PipelineExited:
		c.generated(ev, b.Generated)
		by := pipeline{b.Epoch, b.Pipeline}
		for _, p := range b.Interrupted {
			c.report(ev, p, by)
		}
		c.pipelines.end(by, ev.Time)
	case event.RequestsJoined:
		c.join(ev, b)
	case event.RequestsLeft:
		c.generated(ev, b.Generated)
		c.leave(ev, b)
	case event.StopPipeline:
		c.pipelines.end(pipeline{b.Epoch, b.Pipeline}, ev.Time)
	case event.ConfigChosen:
		c.works(ev, b)
		c.pipelines.deploy(ev.Time, b)
		c.forgetBatches()
	case event.InstanceAcquired:
		c.nodes.join(ev.Time, b.Instances)
	case event.RequestFleet:
		c.release(ev, b.Release)
	case event.InstanceLost:
		c.nodes.lose(ev.Time, b.Nodes)
		c.pipelines.lose(ev.Time, b.Nodes)
	case event.AssignRequests:
		for _, r := range b.Requests {
			c.hand(ev, r)
		}
	case event.ApplyMigration:
		c.apply(ev, b)
		c.openBatches(b)
	case event.RunFinished:
		c.finish(ev, b)
	}
}

func (c *Checker) fail(promise int, ev event.Event, format string, args ...any) {
	c.err = fmt.Errorf("promise %d broken at %s by %s (%s): %s",
		promise, ev.Time, ev.ID(), ev.Body.Kind(), fmt.Sprintf(format, args...))
}

// migration is promise 5: no GPU ever holds more than U_max in transit.
func (c *Checker) migration(ev event.Event, b event.MigrationPlanned) {
	if c.buffer > 0 && b.PeakBufferBytes > c.buffer {
		c.fail(5, ev, "plan %s holds up to %d bytes in transit on one GPU, allowed are %d", b.Epoch, b.PeakBufferBytes, c.buffer)
	}
}

// end is promise 1: every accepted request reaches exactly one terminal state.
func (c *Checker) end(ev event.Event, id event.RequestID) {
	switch {
	case c.open[id] != nil:
		delete(c.open, id)
		c.ended.Add(uint64(id))
		c.terminal++
	case c.ended.Has(uint64(id)):
		c.fail(1, ev, "request %d ends a second time", id)
	default:
		c.fail(1, ev, "request %d never arrived", id)
	}
}

func (c *Checker) record(ev event.Event, r event.RequestRecord) {
	if c.err != nil || r.Finished == vtime.Never {
		return
	}
	if r.Started == vtime.Never || r.Started < r.Arrived || r.Finished < r.Started {
		c.fail(1, ev, "request %d arrived %s, started %s, finished %s", r.Request, r.Arrived, r.Started, r.Finished)
	}
}

// report takes a pipeline's word on a request, checked like the planner's. One
// that has ended meanwhile needs no word.
func (c *Checker) report(ev event.Event, p event.Progress, by pipeline) {
	if c.ended.Has(uint64(p.Request)) {
		return
	}
	if r := c.progress(ev, p.Request, p.Committed); r != nil {
		r.reported = report{p.Committed, by, ev.Time}
	}
}

// commit takes the planner's word on how many tokens of a request are kept.
func (c *Checker) commit(ev event.Event, id event.RequestID, committed int) {
	if r := c.progress(ev, id, committed); r != nil {
		r.committed = committed
	}
}

// progress is promise 3: committed tokens never decrease. It returns nil if
// the promise is broken.
func (c *Checker) progress(ev event.Event, id event.RequestID, committed int) *life {
	r := c.open[id]
	switch {
	case r == nil && c.ended.Has(uint64(id)):
		c.fail(1, ev, "request %d goes on after its end", id)
		return nil
	case r == nil:
		c.fail(3, ev, "request %d never arrived", id)
		return nil
	}
	if c.pipelines.counts(r.reported) {
		r.committed = max(r.committed, r.reported.committed)
	}
	r.reported = report{}
	if committed < r.committed {
		c.fail(3, ev, "request %d falls back from %d to %d committed tokens", id, r.committed, committed)
		return nil
	}
	return r
}

// apply is promise 2, at most one device a position and one position a device,
// and promise 4, no step past its deadline.
func (c *Checker) apply(ev event.Event, b event.ApplyMigration) {
	if b.Epoch.Less(c.epoch) {
		c.fail(2, ev, "epoch %s after %s", b.Epoch, c.epoch)
		return
	}
	if c.epoch != b.Epoch {
		c.epoch = b.Epoch
		c.devices = make(map[topology.Device]topology.DevicePosition, len(c.devices))
		c.filled = make(map[topology.DevicePosition]topology.Device, len(c.filled))
	}
	for _, p := range b.Placements {
		if other, taken := c.filled[p.Position]; taken {
			c.fail(2, ev, "position %v belongs to %s and %s", p.Position, other, p.Device)
		}
		if other, placed := c.devices[p.Device]; placed {
			c.fail(2, ev, "device %s is at %v and %v", p.Device, other, p.Position)
		}
		c.filled[p.Position], c.devices[p.Device] = p.Device, p.Position
	}
	for _, p := range b.Pipelines {
		for _, r := range p.Resume {
			c.hand(ev, r)
		}
	}
	for _, s := range b.Steps {
		if end := b.Begin.Add(s.After); s.Deadline < end {
			c.fail(4, ev, "a step from %s to %s ends at %s, after its deadline %s", s.From, s.To, end, s.Deadline)
		}
	}
}

func (c *Checker) finish(ev event.Event, b event.RunFinished) {
	switch {
	case c.terminal != c.accepted:
		c.fail(1, ev, "%d requests arrived, %d ended", c.accepted, c.terminal)
	case b.Lost != 0:
		c.fail(1, ev, "%d requests lost", b.Lost)
	case b.Duplicated != 0:
		c.fail(1, ev, "%d completions duplicated", b.Duplicated)
	case b.TokensChanged != 0:
		c.fail(3, ev, "%d committed tokens were told again with another value", b.TokensChanged)
	case b.Accepted != b.Completed+b.UnfinishedAtEnd:
		c.fail(1, ev, "accepted %d is not completed %d + unfinished %d", b.Accepted, b.Completed, b.UnfinishedAtEnd)
	}
}
