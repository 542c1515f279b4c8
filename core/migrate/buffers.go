package migrate

import "math"

// buffers follows how much each device holds beyond the more of what it held
// before and what it will hold after. Memory that the larger of the two takes
// is the device's anyway; what comes on top is the migration buffer.
type buffers struct {
	bound   int64   // U_max; math.MaxInt64 if there is none
	buffer  []int64 // of a device, bytes; negative while there is room to spare
	peak    int64
	left    []bool  // of a layer: its old context is still held
	spares  []int64 // of a device: old weights it still holds beyond need, bytes
	dropped []bool  // of device and layer: freed before the layer's turn
	copies  []int   // of a cell: devices that hold it
}

func newBuffers(s *scene, bound int64, kept []bool) buffers {
	n := len(s.devices)
	b := buffers{
		bound: bound, buffer: make([]int64, n),
		left: make([]bool, s.Layers), spares: make([]int64, n), dropped: make([]bool, n*s.Layers),
	}
	// A device that will hold more than before has room to spare.
	for d := range s.devices {
		b.buffer[d] = (s.have[d].Cells() - s.need[d].Cells()) * s.CellBytes
		b.spares[d] = (s.have[d].Cells() - s.keep[d].Cells()) * s.CellBytes
	}
	for i, in := range s.task.Inherit {
		if !kept[i] {
			continue
		}
		for _, d := range s.old[in.From] {
			b.buffer[d] += s.CacheBytes(s.have[d], in.Tokens)
		}
		for _, d := range s.heirs[in.To] {
			b.buffer[d] -= s.CacheBytes(s.need[d], in.Tokens)
		}
	}
	for d := range b.buffer {
		b.buffer[d] = min(b.buffer[d], 0)
	}
	b.copies = make([]int, s.Layers*s.Leaves)
	for cell, groups := range s.cover {
		for _, i := range groups {
			b.copies[cell] += len(s.regions[i].staying) + len(s.regions[i].leaving)
		}
	}
	for l := range b.left {
		b.left[l] = true
		if len(s.receivers[l]) == 0 {
			b.free(s, l)
		}
	}
	return b
}

// take counts bytes that device d received.
func (b *buffers) take(d int, bytes int64) {
	b.buffer[d] += bytes
	b.peak = max(b.peak, b.buffer[d])
}

// free lets every device free what it holds of a layer beyond its need: all of
// the layer has moved.
func (b *buffers) free(s *scene, layer int) {
	b.left[layer] = false
	for _, d := range s.releasers[layer] {
		if i := d*s.Layers + layer; !b.dropped[i] {
			b.buffer[d] -= s.spare(d, layer)
			b.spares[d] -= s.spare(d, layer)
		}
	}
}

// canFit reports whether device d can make room for bytes more.
func (b *buffers) canFit(d int, bytes int64) bool {
	return b.buffer[d]-b.spares[d] <= b.bound-bytes
}

// makeRoom has device d drop old weights that it does not need until bytes more
// fit. Whoever lacks them gets them elsewhere, so that what most devices hold
// goes first, and of that the last layer.
func (b *buffers) makeRoom(s *scene, d int, bytes int64) {
	for b.buffer[d] > b.bound-bytes && b.spares[d] > 0 {
		layer, most := 0, 0
		for l := s.have[d].FirstLayer; l < s.have[d].EndLayer; l++ {
			if !b.left[l] || b.dropped[d*s.Layers+l] {
				continue
			}
			if n := b.fewest(s, d, l); n >= most && n < math.MaxInt {
				layer, most = l, n
			}
		}
		b.dropped[d*s.Layers+layer] = true
		b.buffer[d] -= s.spare(d, layer)
		b.spares[d] -= s.spare(d, layer)
		for f := s.have[d].FirstLeaf; f < s.have[d].EndLeaf; f++ {
			if !s.keep[d].contains(layer, f) {
				b.copies[s.cell(layer, f)]--
			}
		}
	}
}

// fewest is how many devices hold the rarest cell of a layer that device d
// holds beyond its need; math.MaxInt if there is none.
func (b *buffers) fewest(s *scene, d, layer int) int {
	n := math.MaxInt
	for f := s.have[d].FirstLeaf; f < s.have[d].EndLeaf; f++ {
		if !s.keep[d].contains(layer, f) {
			n = min(n, b.copies[s.cell(layer, f)])
		}
	}
	return n
}

// fullest is the largest buffer of a receiver of a layer when all of it has
// come.
func (b *buffers) fullest(s *scene, layer int) int64 {
	most := int64(math.MinInt64)
	for _, d := range s.receivers[layer] {
		most = max(most, b.buffer[d]+s.lacks(d, layer))
	}
	return most
}
