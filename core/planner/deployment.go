package planner

import (
	"maps"
	"slices"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/migrate"
	"github.com/spotserve/spotserve/core/topology"
	"github.com/spotserve/spotserve/core/vtime"
)

// deployment is the configuration in force, as the planner knows it.
type deployment struct {
	epoch      event.Epoch
	config     topology.ParallelConfig
	limit      int // requests in a batch
	placements []topology.Placement
	held       *migrate.Holdings
	pipelines  map[int]*pipeline // alive ones
	// steps and contextAt cover the migration that brought the deployment
	// about: until contextAt its sources are needed.
	steps     []migrate.Step
	contextAt vtime.Time
}

// pipeline is one data-parallel replica of the deployment.
type pipeline struct {
	index   int
	epoch   event.Epoch // of the plan that started it
	leader  string
	nodes   []string
	waiting map[string]bool // nodes that have not reported their stage yet
	running runningBatch
}

// runningBatch is the last batch that the leader told of; no ids when idle.
type runningBatch struct {
	id        uint64
	ids       []event.RequestID
	startedAt vtime.Time
	resumed   bool
	prompt    int // longest prompt and committed tokens to prefill
}

func (p *pipeline) ready() bool { return len(p.waiting) == 0 }

func newDeployment() deployment {
	return deployment{held: migrate.NewHoldings(), pipelines: make(map[int]*pipeline), contextAt: 0}
}

// alive lists the living pipelines by number.
func (d *deployment) alive() []*pipeline {
	out := make([]*pipeline, 0, len(d.pipelines))
	for _, i := range slices.Sorted(maps.Keys(d.pipelines)) {
		out = append(out, d.pipelines[i])
	}
	return out
}

// readyPipelines lists the pipelines that take requests, by number.
func (d *deployment) readyPipelines() []int {
	var out []int
	for _, p := range d.alive() {
		if p.ready() {
			out = append(out, p.index)
		}
	}
	return out
}

// broken reports whether a pipeline of the configuration has died.
func (d *deployment) broken() bool { return len(d.pipelines) < d.config.Data }

// started reports whether every living pipeline serves.
func (d *deployment) started() bool {
	return len(d.readyPipelines()) == len(d.pipelines)
}

// sameDevices reports whether the deployment works on exactly the devices of
// placements.
func (d *deployment) sameDevices(placements []topology.Placement) bool {
	return len(placements) == len(d.placements) && d.changedDevices(placements) == 0
}

// changedDevices counts the devices of placements that did not work before.
func (d *deployment) changedDevices(placements []topology.Placement) int {
	before := make(map[topology.Device]bool, len(d.placements))
	for _, p := range d.placements {
		before[p.Device] = true
	}
	n := 0
	for _, p := range placements {
		if !before[p.Device] {
			n++
		}
	}
	return n
}

// pipelineOf looks a pipeline up by number and epoch; nil fences facts of
// pipelines that are gone.
func (d *deployment) pipelineOf(index int, epoch event.Epoch) *pipeline {
	if p := d.pipelines[index]; p != nil && p.epoch == epoch {
		return p
	}
	return nil
}

// nodesOf lists the nodes of placements, in node order.
func nodesOf(placements []topology.Placement) []string {
	var out []string
	for _, p := range placements {
		if !slices.Contains(out, p.Device.Node) {
			out = append(out, p.Device.Node)
		}
	}
	slices.SortFunc(out, topology.CompareNodes)
	return out
}
