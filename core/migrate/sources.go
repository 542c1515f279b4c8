package migrate

import "github.com/spotserve/spotserve/core/vtime"

// sources spreads the sending over the holders of a piece.
type sources struct {
	load   []int64 // of a node: network bytes planned, and weights it has yet to get
	sent   []int64 // of a device: bytes planned to be sent
	queues []queues
}

// queues keep the devices of a group in the order in which they should send
// next.
type queues struct {
	staying, leaving queue
}

func newSources(s *scene) sources {
	return sources{
		load: append([]int64(nil), s.incoming...), sent: make([]int64, len(s.devices)),
		queues: make([]queues, len(s.regions)),
	}
}

// line queues up, in every group that holds a layer, the devices that still
// have some of it to offer.
func (d *draft) line(layer int) {
	fill := func(q queue, devices []int) queue {
		q = q[:0]
		for _, x := range devices {
			if !d.dropped[x*d.Layers+layer] || d.keep[x].width(layer) > 0 {
				q = append(q, d.candidate(x))
			}
		}
		for i := len(q)/2 - 1; i >= 0; i-- {
			q.sink(i)
		}
		return q
	}
	for i, g := range d.regions {
		if g.model.width(layer) > 0 {
			d.queues[i].staying = fill(d.queues[i].staying, g.staying)
			d.queues[i].leaving = fill(d.queues[i].leaving, g.leaving)
		}
	}
}

// candidate is a holder as it was when it last came to the front of its queue.
type candidate struct {
	load, sent int64
	device     int
}

// before reports whether c should send before o.
func (c candidate) before(o candidate) bool {
	if c.load != o.load {
		return c.load < o.load
	}
	if c.sent != o.sent {
		return c.sent < o.sent
	}
	return c.device < o.device
}

// queue is a binary heap of candidates.
type queue []candidate

// sink moves the candidate at i behind those that should send before it.
func (q queue) sink(i int) {
	for {
		next := 2*i + 1
		if next >= len(q) {
			return
		}
		if next+1 < len(q) && q[next+1].before(q[next]) {
			next++
		}
		if !q[next].before(q[i]) {
			return
		}
		q[i], q[next] = q[next], q[i]
		i = next
	}
}

// candidate is device d as it stands now.
func (d *draft) candidate(device int) candidate {
	return candidate{load: d.load[d.node[device]], sent: d.sent[device], device: device}
}

// charge counts bytes that are to be sent over l. What nodes receive of weights
// counts from the start.
func (d *draft) charge(l link, bytes int64) {
	if l.from == disk {
		return
	}
	d.sent[l.from] += bytes
	if l.fromNode != l.toNode {
		d.load[l.fromNode] += bytes
	}
}

// pick chooses who sends the weights of a cell to device to among those whose
// node stays longer than until; disk if nobody can.
func (d *draft) pick(to, layer, leaf int, until vtime.Time) int {
	best := candidate{device: disk}
	n := d.node[to]
	for x := d.first[n]; x < d.first[n+1]; x++ {
		if d.fit(x, layer, leaf, until) {
			best = better(best, d.candidate(x))
		}
	}
	if best.device != disk {
		return best.device
	}
	for _, g := range d.cover[d.cell(layer, leaf)] {
		best = better(best, d.front(d.queues[g].staying, layer, leaf, until))
		if until < d.lastGoes {
			best = better(best, d.front(d.queues[g].leaving, layer, leaf, until))
		}
	}
	return best.device
}

// front is the holder in q that should send a cell next. Candidates only ever
// wait too far ahead, as what they send adds up; so it is enough to bring the
// first one up to date until it stays first.
func (d *draft) front(q queue, layer, leaf int, until vtime.Time) candidate {
	best := candidate{device: disk}
	if len(q) == 0 {
		return best
	}
	for now := d.candidate(q[0].device); now != q[0]; now = d.candidate(q[0].device) {
		q[0] = now
		q.sink(0)
	}
	if d.fit(q[0].device, layer, leaf, until) {
		return q[0]
	}
	for _, c := range q {
		if d.fit(c.device, layer, leaf, until) {
			best = better(best, d.candidate(c.device))
		}
	}
	return best
}

// fit reports whether a device holds a cell that others can get, on a node that
// stays longer than until.
func (d *draft) fit(device, layer, leaf int, until vtime.Time) bool {
	return d.goes[d.node[device]] > until && d.have[device].contains(layer, leaf) &&
		(!d.dropped[device*d.Layers+layer] || d.keep[device].contains(layer, leaf))
}

// better is the one of two candidates that should send.
func better(a, b candidate) candidate {
	if a.device == disk || b.device != disk && b.before(a) {
		return b
	}
	return a
}
