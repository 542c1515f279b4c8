// Package spans tells a run as spans: which there are, what their names, ids, times
// and attributes are. A Planner and a Worker watch an actor (actor.Tracer); the
// trace-replayer and the collector say what they do with a message (Publish, Stored).
//
// # A request
//
//	request                  planner: from its arrival to its end
//	├── publish              trace-replayer: from when it was due until it was handed to the bus
//	├── queued               planner: until it was handed to a pipeline
//	├── pooled               worker, the pipeline's leader: until a batch took it
//	├── compute              worker: as long as the batch had it; linked to the batch
//	│   ├── prefill
//	│   └── decode
//	├── interrupted          planner: until it was handed to a pipeline again, with its
//	│                        KV cache or without; linked to the reconfiguration
//	├── pooled, compute ...
//	└── stored               collector: from reading its end until its row was stored
//
// The first span belongs to a user's own trace where the request came with a
// traceparent.
//
// # A batch
//
//	batch                    worker: linked to the compute of every request in it
//
// # A reconfiguration
//
//	reconfiguration          planner: from what called for it until all serves again
//	├── preemption_noticed   planner: from when that was said until it was taken; so for
//	│                        every change of the fleet or of the requirement
//	├── decide               planner: the step that decided on it
//	├── arrange              planner: until all pipelines that have to stop had exited
//	│   └── exit             worker: from the command until the pipeline had exited
//	├── await plan           planner: engines stop, instances come
//	├── plan                 planner: the step of controller, mapper and migration planner
//	│   ├── migrate          worker, every node: until its context was there
//	│   ├── start stage      worker, every node and pipeline: until it could compute
//	│   └── stored           collector: the rows of the plan
//	└── start pipeline       planner: until all its stages were up
//
// Controller, mapper and migration planner are one step of a core that reads no
// clock: their numbers are attributes of plan, they have no times of their own.
//
// # Times
//
// Spans are in wall time, by the clock of the host that says them, and by that of
// the bus for when something was said. Experiment times are attributes, in seconds. In
// a run with a profiled engine a prefill ends when its timetable says so. A planner
// that replays what another one took goes by when the bus stored it, and says again
// only what ended just before.
package spans

import (
	"strconv"

	"go.opentelemetry.io/otel/attribute"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/vtime"
	"github.com/spotserve/spotserve/platform/obs"
)

// prefix begins the names of all attributes; those that log lines have too go on with
// the log's key.
const prefix = "spotserve."

func text(key, value string) attribute.KeyValue { return attribute.String(prefix+key, value) }

func number[T int | int64 | uint64](key string, value T) attribute.KeyValue {
	return attribute.Int64(prefix+key, int64(value))
}

func decimals(key string, value float64) attribute.KeyValue {
	return attribute.Float64(prefix+key, value)
}

func flag(key string, value bool) attribute.KeyValue { return attribute.Bool(prefix+key, value) }

// instant is an experiment time in seconds; nothing for one that never comes.
func instant(key string, t vtime.Time) []attribute.KeyValue {
	if t == vtime.Never {
		return nil
	}
	return []attribute.KeyValue{decimals(key+"_s", t.Seconds())}
}

func ofRun(run string) attribute.KeyValue { return text(obs.KeyRun, run) }

func ofRequest(run string, id event.RequestID) []attribute.KeyValue {
	return []attribute.KeyValue{ofRun(run), number(obs.KeyRequest, uint64(id))}
}

func ofEpoch(e event.Epoch) attribute.KeyValue { return text(obs.KeyEpoch, e.String()) }

func decimal(n uint64) string { return strconv.FormatUint(n, 10) }
