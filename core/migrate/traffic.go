package migrate

import (
	"time"

	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/vtime"
)

// traffic adds up what moves, in the order of the steps, and says when a step
// ends: each node's network and inner links, and each device's disk, work off
// their bytes at full rate, in order.
type traffic struct {
	inter, intra []int64 // of a node: in and out over the network; inside it
	disk         []int64 // of a device: loaded
	instance     cost.InstanceType
	engine       cost.EngineCosts
}

// link names the two ends of a transfer, devices and their nodes; from is disk
// and fromNode nothing where no device sends.
type link struct {
	from, to         int
	fromNode, toNode int
}

// add counts bytes; negative bytes take a transfer back.
func (t *traffic) add(l link, bytes int64) {
	switch {
	case l.from == disk:
		t.disk[l.to] += bytes
	case l.fromNode == l.toNode:
		t.intra[l.toNode] += bytes
	default:
		t.inter[l.fromNode] += bytes
		t.inter[l.toNode] += bytes
	}
}

// after is when everything counted so far that uses the ends of l has moved,
// from the plan's begin.
func (t *traffic) after(l link) time.Duration {
	if l.from == disk {
		return t.reload(t.disk[l.to])
	}
	return t.transfer(
		max(t.inter[l.fromNode], t.inter[l.toNode]),
		max(t.intra[l.fromNode], t.intra[l.toNode]))
}

// all is when everything counted so far has moved.
func (t *traffic) all() time.Duration {
	return max(t.transfer(largest(t.inter), largest(t.intra)), t.reload(largest(t.disk)))
}

func (t *traffic) transfer(inter, intra int64) time.Duration {
	return vtime.Duration(seconds(inter, t.instance.InterNodeBytesPerSecond) +
		seconds(intra, t.instance.IntraNodeBytesPerSecond))
}

func (t *traffic) reload(bytes int64) time.Duration {
	return vtime.Duration(seconds(bytes, t.engine.DiskBytesPerSecond))
}

func seconds(bytes int64, perSecond float64) float64 {
	if bytes == 0 {
		return 0
	}
	return float64(bytes) / perSecond
}

// largest is the most of several counts, 0 of none.
func largest(counts []int64) int64 {
	var most int64
	for _, n := range counts {
		most = max(most, n)
	}
	return most
}
