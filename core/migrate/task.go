package migrate

import (
	"github.com/spotserve/spotserve/core/topology"
	"github.com/spotserve/spotserve/core/vtime"
)

// Inheritance hands the KV cache of an old pipeline to a new one.
type Inheritance struct {
	From   int // pipeline of the holdings
	To     int // pipeline of the target
	Tokens int // cached tokens, prompt and output, over all requests
}

// Task is what a migration has to reach.
type Task struct {
	Begin  vtime.Time // of the first step
	Config topology.ParallelConfig
	// Placements lists the devices that need context, each once; pipelines
	// that are not among them stay as they are.
	Placements []topology.Placement
	Held       *Holdings
	// Leaving gives the deadline of each node that goes. Their context can be
	// a source until then.
	Leaving map[string]vtime.Time
	// Inherit lists the KV caches that move along, the most progress first: it
	// moves first, and is the last to be given up.
	Inherit []Inheritance
}

// MigrationPlanner turns a task into a plan.
type MigrationPlanner interface {
	Plan(t Task) Plan
}
