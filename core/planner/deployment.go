package planner

import (
	"maps"
	"slices"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/migrate"
	"github.com/spotserve/spotserve/core/serve"
	"github.com/spotserve/spotserve/core/topology"
	"github.com/spotserve/spotserve/core/vtime"
)

// deployment is the configuration in force, as the planner knows it.
type deployment struct {
	epoch      event.Epoch
	config     topology.ParallelConfig
	room       serve.Room // of each pipeline
	placements []topology.Placement
	held       *migrate.Holdings
	pipelines  map[int]*pipeline // alive ones
	broken     bool              // a pipeline has died
	// steps is the migration, from begin on, that brought the deployment about:
	// its sources are needed until each step has ended.
	steps []migrate.Step
	begin vtime.Time
}

// pipeline is one data-parallel replica of the deployment.
type pipeline struct {
	index   int
	epoch   event.Epoch // of the plan that started it
	leader  string
	nodes   []string
	waiting map[string]bool // nodes that have not reported their stage yet
	up      startUp
	running runningBatch
}

// runningBatch is what the leader last told of its batch.
type runningBatch struct {
	id       uint64
	requests int // 0 when idle
	// At the instant at it had generated tokens, and began to prefill so many
	// prompts: of the longest's tokens in a static batch, of so many in all in a
	// continuous one.
	at      vtime.Time
	tokens  int
	joining int
	prompts int
}

func (p *pipeline) ready() bool { return len(p.waiting) == 0 }

func newDeployment() deployment {
	return deployment{held: migrate.NewHoldings(), pipelines: make(map[int]*pipeline)}
}

// alive lists the living pipelines by number.
func (d *deployment) alive() []*pipeline {
	out := make([]*pipeline, 0, len(d.pipelines))
	for _, i := range slices.Sorted(maps.Keys(d.pipelines)) {
		out = append(out, d.pipelines[i])
	}
	return out
}

// started reports whether every living pipeline serves.
func (d *deployment) started() bool {
	for _, p := range d.pipelines {
		if !p.ready() {
			return false
		}
	}
	return true
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

// ledBy is pipelineOf for what only the node says that leads the pipeline: of the
// others nobody speaks for it.
func (d *deployment) ledBy(node string, index int, epoch event.Epoch) *pipeline {
	if p := d.pipelineOf(index, epoch); p != nil && p.leader == node {
		return p
	}
	return nil
}

// nodesOf lists the nodes of placements, in node order.
func nodesOf(placements []topology.Placement) []string {
	var out []string
	for i, p := range placements {
		if i == 0 || p.Device.Node != placements[i-1].Device.Node {
			out = append(out, p.Device.Node)
		}
	}
	slices.SortFunc(out, topology.CompareNodes)
	return slices.Compact(out)
}
