package migrate

import "container/heap"

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
		heap.Init(&q)
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

// queue is a heap of candidates.
type queue []candidate

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].before(q[j]) }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)        { *q = append(*q, x.(candidate)) }
func (q *queue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}

// candidate is device d as it stands now.
func (d *draft) candidate(device int) candidate {
	return candidate{load: d.load[d.node[device]], sent: d.sent[device], device: device}
}

// charge counts bytes that are to be sent over l; negative bytes take it back.
// What nodes receive of weights counts from the start.
func (d *draft) charge(l link, bytes int64) {
	if l.from == disk {
		return
	}
	d.sent[l.from] += bytes
	if l.fromNode != l.toNode {
		d.load[l.fromNode] += bytes
	}
}

// pick chooses who sends the weights of a cell to device to, disk if nobody
// can. With staying, no leaving device is asked.
func (d *draft) pick(to, layer, leaf int, staying bool) int {
	best := candidate{device: disk}
	n := d.node[to]
	for x := d.first[n]; x < d.first[n+1]; x++ {
		if d.offers(x, layer, leaf) && (!staying || d.stays(x)) {
			best = better(best, d.candidate(x))
		}
	}
	if best.device != disk {
		return best.device
	}
	for _, g := range d.cover[d.cell(layer, leaf)] {
		best = better(best, d.front(&d.queues[g].staying, layer, leaf))
		if !staying {
			best = better(best, d.front(&d.queues[g].leaving, layer, leaf))
		}
	}
	return best.device
}

// front is the holder in q that should send a cell next. Candidates only ever
// wait too far ahead, as what they send adds up; so it is enough to bring the
// first one up to date until it stays first.
func (d *draft) front(q *queue, layer, leaf int) candidate {
	best := candidate{device: disk}
	var dropped []candidate
	for len(*q) > 0 && best.device == disk {
		first := (*q)[0]
		switch now := d.candidate(first.device); {
		case now != first:
			(*q)[0] = now
			heap.Fix(q, 0)
		case !d.offers(first.device, layer, leaf):
			dropped = append(dropped, heap.Pop(q).(candidate))
		default:
			best = first
		}
	}
	for _, c := range dropped {
		heap.Push(q, c)
	}
	return best
}

// better is the one of two candidates that should send.
func better(a, b candidate) candidate {
	if a.device == disk || b.device != disk && b.before(a) {
		return b
	}
	return a
}
