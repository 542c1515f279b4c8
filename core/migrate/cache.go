package migrate

import "slices"

// moveCaches plans the kept caches, each whole or not at all; false if one had
// to be given up.
func (d *draft) moveCaches() bool {
	all := true
	for i, in := range d.task.Inherit {
		if d.kept[i] {
			d.kept[i] = d.moveCache(in)
			all = all && d.kept[i]
		}
	}
	return all
}

// moveCache plans one cache unless a step would miss its deadline or a device
// cannot make room for it.
func (d *draft) moveCache(in Inheritance) bool {
	d.sourceCache(in)
	bytes := func(t transfer) int64 { return d.cacheBytes(int64(len(t.cells)), in.Tokens) }
	for _, to := range d.heirs[in.To] {
		d.gets[to] = 0
	}
	late := false
	for t := range d.wave.all {
		late = late || d.late(t.link, bytes(t))
		d.add(t.link, bytes(t))
		d.gets[t.to] += bytes(t)
	}
	for t := range d.wave.all {
		d.add(t.link, -bytes(t))
	}
	if late || slices.ContainsFunc(d.heirs[in.To], func(to int) bool { return !d.canFit(to, d.gets[to]) }) {
		return false
	}
	for _, to := range d.heirs[in.To] {
		d.makeRoom(d.scene, to, d.gets[to])
	}
	for t := range d.wave.all {
		d.charge(t.link, bytes(t))
		if t.fromNode != t.toNode {
			d.load[t.toNode] += bytes(t)
		}
		d.emit(CacheContext, -1, t.link, bytes(t), nil)
	}
	for _, x := range d.old[in.From] {
		d.buffer[x] -= d.CacheBytes(d.have[x], in.Tokens)
		if _, heir := slices.BinarySearch(d.heirs[in.To], x); heir {
			d.buffer[x] += d.CacheBytes(d.keep[x], in.Tokens)
		}
	}
	return true
}

// sourceCache fills the wave with the cells of a cache that heirs lack.
func (d *draft) sourceCache(in Inheritance) {
	d.wave.clear()
	if !slices.ContainsFunc(d.heirs[in.To], func(to int) bool { return !d.inPlace(in, to) }) {
		return
	}
	for i := range d.holders {
		d.holders[i] = d.holders[i][:0]
	}
	for _, x := range d.old[in.From] {
		for l, f := range d.have[x].cells() {
			d.holders[d.cell(l, f)] = append(d.holders[d.cell(l, f)], x)
		}
	}
	for _, to := range d.heirs[in.To] {
		cells := d.cells[:0]
		for l, f := range d.need[to].cells() {
			if who := d.holders[d.cell(l, f)]; !slices.Contains(who, to) {
				cells = append(cells, supply{from: d.nearest(who, to), leaf: f})
			}
		}
		d.enlist(to, cells)
		d.cells = cells
	}
}

// inPlace reports whether a device holds all of a cache that it is to have. Most
// changes leave most pipelines where they are.
func (s *scene) inPlace(in Inheritance, to int) bool {
	_, holds := slices.BinarySearch(s.old[in.From], to)
	return holds && s.keep[to] == s.need[to]
}

// nearest is the device among holders that sends a cell of a cache: one of the
// same node, else the one whose node has the least traffic.
func (d *draft) nearest(holders []int, to int) int {
	best, bestNear := candidate{device: disk}, false
	for _, x := range holders {
		near := d.node[x] == d.node[to]
		switch {
		case near == bestNear:
			best = better(best, d.candidate(x))
		case near:
			best, bestNear = d.candidate(x), true
		}
	}
	return best.device
}
