package worker

import (
	"context"
	"sync"
)

// crew are the nodes of one run that this process stands for. They share a bus,
// which tells of messages that it could not store to one of those that publish,
// and has dropped those of all. So when one breaks off, all do.
type crew struct {
	run context.Context // of the run

	mu     sync.Mutex
	shift  context.Context // ends when one breaks off
	ending context.CancelFunc
}

func newCrew(run context.Context) *crew {
	c := &crew{run: run}
	c.shift, c.ending = context.WithCancel(run)
	return c
}

// now is the context to work in.
func (c *crew) now() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.shift
}

// breakOff ends the work of all that began in shift.
func (c *crew) breakOff(shift context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if shift == c.shift {
		c.ending()
		c.shift, c.ending = context.WithCancel(c.run)
	}
}

// dismiss lets go of everything.
func (c *crew) dismiss() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ending()
}
