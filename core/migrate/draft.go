package migrate

import (
	"slices"
	"time"

	"github.com/spotserve/spotserve/core/vtime"
)

// maxParts bounds into how many steps one transfer is cut.
const maxParts = 16

// draft is a plan in the making: the steps so far and what follows from them.
type draft struct {
	*scene
	traffic
	buffers
	sources
	planner     Planner
	steps       []Step
	kept        []bool
	ready       []time.Duration // of a stage
	unreachable []bool          // of a stage: a node of it leaves before it has all
	wave        wave

	// Scratch: the holders of each cell of a cache, what each heir of it gets in
	// bytes, and the cells of one receiver.
	holders [][]int
	gets    []int64
	cells   []supply

	// rivals holds the nodes on whose links weights missed a deadline that now
	// come from disk.
	rivals map[string]bool
}

func newDraft(p Planner, s *scene, kept []bool) *draft {
	nodes, devices := len(s.goes), len(s.devices)
	steps := 4 * len(s.targets) // of caches, about
	for _, receivers := range s.receivers {
		steps += len(receivers)
	}
	return &draft{
		scene: s,
		traffic: traffic{
			instance: p.Instance, engine: p.Engine,
			inter: make([]int64, nodes), intra: make([]int64, nodes), disk: make([]int64, devices),
		},
		buffers: newBuffers(s, p.bound(), kept),
		sources: newSources(s),
		planner: p,
		steps:   make([]Step, 0, steps),
		kept:    kept,
		ready:   make([]time.Duration, len(s.stages)), unreachable: make([]bool, len(s.stages)),
		rivals:  make(map[string]bool),
		holders: make([][]int, s.Layers*s.Leaves), gets: make([]int64, devices),
	}
}

// deadline is when the first end of l leaves.
func (d *draft) deadline(l link) vtime.Time {
	until := d.goes[l.toNode]
	if l.from != disk {
		until = min(until, d.goes[l.fromNode])
	}
	return until
}

// late reports whether bytes more over l would end past its deadline.
func (d *draft) late(l link, bytes int64) bool {
	until := d.deadline(l)
	if until == vtime.Never {
		return false
	}
	d.add(l, bytes)
	end := d.task.Begin.Add(d.after(l))
	d.add(l, -bytes)
	return end > until
}

// emit appends the steps of a transfer, each within U_max where maxParts allows
// it. The cells of weights go one after the other; cache has none.
func (d *draft) emit(kind ContextKind, layer int, l link, bytes int64, cells []supply) {
	if bytes == 0 {
		return
	}
	parts := min((bytes-1)/d.bound+1, maxParts)
	stage := d.stage[l.to]
	step := Step{
		Kind: kind, Pipeline: d.stages[stage].Pipeline, Stage: d.stages[stage].Stage, Layer: layer,
		To: d.devices[l.to], Deadline: d.deadline(l),
	}
	if l.from != disk {
		step.From = d.devices[l.from]
	}
	for i := range parts {
		start, end := bytes*i/parts, bytes*(i+1)/parts
		step.Bytes, step.Leaves = end-start, d.landed(cells, start, end)
		d.add(l, step.Bytes)
		d.take(l.to, step.Bytes)
		step.After = d.after(l)
		d.steps = append(d.steps, step)
	}
	d.ready[stage] = max(d.ready[stage], step.After)
}

// landed is the set of leaves whose last byte is among those from start to end of
// a transfer of cells.
func (d *draft) landed(cells []supply, start, end int64) (leaves uint64) {
	for i, c := range cells {
		if last := int64(i+1) * d.CellBytes; start < last && last <= end && c.leaf < 64 {
			leaves |= 1 << c.leaf
		}
	}
	return leaves
}

// withoutRivals gives up the caches that used the links on which weights missed
// a deadline; false if there are none.
func (d *draft) withoutRivals() ([]bool, bool) {
	heirs := make(map[int]int) // inheritance by new pipeline
	for i, in := range d.task.Inherit {
		heirs[in.To] = i
	}
	fewer, found := slices.Clone(d.kept), false
	for _, s := range d.steps {
		if s.Kind == CacheContext && (d.rivals[s.From.Node] || d.rivals[s.To.Node]) {
			fewer[heirs[s.Pipeline]], found = false, true
		}
	}
	return fewer, found
}
