// Package migrate plans how model weights and KV cache get from where they are
// to where a new configuration needs them (paper section 3.4).
package migrate

import (
	"time"

	"github.com/spotserve/spotserve/core/topology"
	"github.com/spotserve/spotserve/core/vtime"
)

// ContextKind tells the two kinds of context apart.
type ContextKind string

// The kinds of context.
const (
	ModelContext ContextKind = "model" // weights
	CacheContext ContextKind = "cache" // KV cache of an interrupted batch
)

// Step moves one piece of context.
type Step struct {
	Kind     ContextKind
	Pipeline int // the pipeline that receives the piece
	Stage    int // its stage
	Layer    int // of model context; -1 for cache
	Bytes    int64
	// Leaves is the set of the layer's leaves that have moved when the step ends:
	// bit i is leaf i. 0 of cache, of a part of a leaf, and beyond 64 leaves.
	Leaves uint64
	// After is the modelled time from the plan's begin to the end of the step.
	After time.Duration
	// From is the device that holds the piece; the zero Device stands for the
	// disk.
	From topology.Device
	To   topology.Device
	// Deadline is when From or To leaves; vtime.Never when both stay.
	Deadline vtime.Time
}

// FromDisk reports whether the piece is reloaded because no device holds it.
func (s Step) FromDisk() bool { return s.From == topology.Device{} }

// StageReady says when a stage has all its context.
type StageReady struct {
	Pipeline int
	Stage    int
	After    time.Duration // from the plan's begin; 0 if nothing has to come
}

// Plan is a migration as data: its steps in the order of execution.
type Plan struct {
	Steps []Step
	// Stages lists the stages of all receiving pipelines, by pipeline and stage.
	// One that a node leaves before its context can be there is missing.
	Stages []StageReady
	// Kept says, for each inheritance of the task, whether its KV cache moves
	// along. A cache that nobody holds as a whole, that cannot make its deadline
	// or that finds no room is given up, and so is one in the way of weights
	// that then make theirs.
	Kept []bool
	// Estimate is the modelled time from the first step to the last byte,
	// set-up included.
	Estimate time.Duration

	ModelBytes     int64 // weights moved between devices
	CacheBytes     int64 // KV cache moved between devices
	DiskBytes      int64 // weights reloaded from disk
	InterNodeBytes int64 // part of ModelBytes+CacheBytes that crosses the network
	// BusiestNodeBytes is the largest in+out traffic of one node, which bounds
	// the migration together with BusiestIntraBytes, the largest traffic
	// inside one.
	BusiestNodeBytes  int64
	BusiestIntraBytes int64
	// PeakBufferBytes is the most that a device holds at any step beyond what
	// it held before or will hold after, whichever is more. Old context that is
	// not needed any more is freed when its layer, or its batch's cache, has
	// moved; to stay within U_max a device drops before what it does not send
	// later.
	PeakBufferBytes int64
}
