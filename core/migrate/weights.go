package migrate

import (
	"math"
	"slices"

	"github.com/spotserve/spotserve/core/vtime"
)

// anyTime is earlier than every deadline.
const anyTime = vtime.Time(math.MinInt64)

// moveWeights plans the weights of every placed device.
func (d *draft) moveWeights() {
	if d.planner.MemoryAware {
		d.moveByLayer()
	} else {
		d.moveByPosition()
	}
}

// moveByLayer is the paper's memory-optimised order. Layers go in ascending
// order, so that early stages can start early, but for those that would take a
// device past U_max; these follow, the one that fills the fullest device least
// first, and devices that it would take past U_max drop what they do not need.
func (d *draft) moveByLayer() {
	var skipped []int
	for l, receivers := range d.receivers {
		switch {
		case len(receivers) == 0:
		case d.fullest(d.scene, l) <= d.bound:
			d.moveLayer(l, receivers)
		default:
			skipped = append(skipped, l)
		}
	}
	for len(skipped) > 0 {
		next, least := 0, d.fullest(d.scene, skipped[0])
		for i, l := range skipped[1:] {
			if full := d.fullest(d.scene, l); full < least {
				next, least = i+1, full
			}
		}
		l := skipped[next]
		skipped = slices.Delete(skipped, next, next+1)
		for _, to := range d.receivers[l] {
			d.makeRoom(d.scene, to, d.lacks(to, l))
		}
		d.moveLayer(l, d.receivers[l])
	}
}

// moveByPosition moves all that a position needs before the next one's.
func (d *draft) moveByPosition() {
	waiting := make([]int, d.Layers) // receivers that have not got a layer yet
	for l := range waiting {
		waiting[l] = len(d.receivers[l])
	}
	for l := range d.Layers {
		d.line(l)
	}
	for _, to := range d.targets {
		for l := d.need[to].FirstLayer; l < d.need[to].EndLayer; l++ {
			if d.lacks(to, l) == 0 {
				continue
			}
			d.send(l, []int{to})
			if waiting[l]--; waiting[l] == 0 {
				d.free(d.scene, l)
			}
		}
	}
}

// moveLayer sends a layer to all that lack some of it, and frees the rest.
func (d *draft) moveLayer(layer int, receivers []int) {
	d.line(layer)
	d.send(layer, receivers)
	d.free(d.scene, layer)
}

// send plans the steps that bring receivers a layer: leaving devices first.
func (d *draft) send(layer int, receivers []int) {
	d.wave.clear()
	for _, to := range receivers {
		cells := d.cells[:0]
		for f := d.need[to].FirstLeaf; f < d.need[to].EndLeaf; f++ {
			if !d.keep[to].contains(layer, f) {
				cells = append(cells, d.supply(to, layer, f, anyTime))
			}
		}
		d.enlist(to, cells)
		d.cells = cells
	}
	for len(d.wave.leaving) > 0 { // replace appends to it
		t := d.wave.leaving[0]
		d.wave.leaving = d.wave.leaving[1:]
		if d.late(t.link, d.weights(t)) {
			d.replace(t, layer)
			continue
		}
		d.emit(ModelContext, layer, t.link, d.weights(t), t.cells)
	}
	for _, t := range d.wave.others {
		// Only a receiver that leaves can still be late: it goes without.
		if d.late(t.link, d.weights(t)) {
			d.unreachable[d.stage[t.to]] = true
			continue
		}
		d.emit(ModelContext, layer, t.link, d.weights(t), t.cells)
	}
}

// supply picks the source of a cell and counts on it.
func (d *draft) supply(to, layer, leaf int, until vtime.Time) supply {
	from := d.pick(to, layer, leaf, until)
	d.charge(d.link(from, to), d.CellBytes)
	return supply{from, leaf}
}

// replace takes the cells of a transfer that would miss its deadline from
// devices that stay longer, or from disk. The late source stays charged with
// them: it is asked less from now on.
func (d *draft) replace(late transfer, layer int) {
	busier := late.from
	if d.inter[late.toNode] > d.inter[late.fromNode] {
		busier = late.to
	}
	cells := make([]supply, len(late.cells))
	for i, c := range late.cells {
		cells[i] = d.supply(late.to, layer, c.leaf, d.goes[late.fromNode])
		if cells[i].from == disk {
			d.rivals[d.devices[busier].Node] = true
		}
	}
	d.enlist(late.to, cells)
}

// weights is the bytes of a transfer of weights.
func (d *draft) weights(t transfer) int64 { return int64(len(t.cells)) * d.CellBytes }
