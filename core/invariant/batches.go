package invariant

import "github.com/spotserve/spotserve/core/event"

// batch is what runs in a pipeline with continuous batching, and what it has
// room for.
type batch struct {
	limit    int // requests
	kvTokens int
	reserved int                     // KV memory, in tokens
	members  map[event.RequestID]int // what each has reserved
}

// openBatches notes the room of the pipelines that a plan starts.
func (c *Checker) openBatches(b event.ApplyMigration) {
	for _, p := range b.Pipelines {
		if b.KVTokens > 0 && p.Leader {
			c.batches[pipeline{b.Epoch, p.Pipeline}] = &batch{
				limit: b.BatchLimit, kvTokens: b.KVTokens, members: make(map[event.RequestID]int),
			}
		}
	}
}

// forgetBatches drops those of pipelines that can say nothing any more.
func (c *Checker) forgetBatches() {
	for name := range c.batches {
		if !c.pipelines.known(name) {
			delete(c.batches, name)
		}
	}
}

// join is promise 9: a continuous batch keeps within its limit and the KV memory
// of its pipeline, with the whole of each request reserved.
func (c *Checker) join(ev event.Event, b event.RequestsJoined) {
	batch := c.batches[pipeline{b.Epoch, b.Pipeline}]
	if batch == nil {
		return // of a pipeline that is gone: the planner does not hear it either
	}
	for _, id := range b.Requests {
		r := c.open[id]
		if r == nil {
			c.fail(9, ev, "request %d joins, and is not open", id)
			return
		}
		if _, twice := batch.members[id]; twice {
			c.fail(9, ev, "request %d joins a second time", id)
			return
		}
		batch.members[id] = r.tokens
		batch.reserved += r.tokens
	}
	if n := len(batch.members); n > batch.limit || batch.reserved > batch.kvTokens {
		c.fail(9, ev, "pipeline %d of %s runs %d requests of %d, with %d tokens of KV memory of %d",
			b.Pipeline, b.Epoch, n, batch.limit, batch.reserved, batch.kvTokens)
	}
}

func (c *Checker) leave(ev event.Event, b event.RequestsLeft) {
	batch := c.batches[pipeline{b.Epoch, b.Pipeline}]
	if batch == nil {
		return
	}
	for _, id := range b.Requests {
		tokens, runs := batch.members[id]
		if !runs {
			c.fail(9, ev, "request %d leaves pipeline %d of %s, where it does not run", id, b.Pipeline, b.Epoch)
			return
		}
		batch.reserved -= tokens
		delete(batch.members, id)
	}
}
