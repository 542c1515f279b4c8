package llm

import (
	"github.com/spotserve/spotserve/engine/kernel"
	"github.com/spotserve/spotserve/engine/model"
)

// ropeBlock is how many positions are computed at once.
const ropeBlock = 256

// rope has the cosines and sines by which positions are rotated into queries and
// keys. Frequencies and angles are computed in float64 by operations that round
// the same everywhere, then rounded to float32 once.
type rope struct {
	frequencies []float64
	cos, sin    [][]float32 // [block][ropeBlock * HeadDim/2]
}

func newRope(c model.Config) rope {
	return rope{frequencies: c.Rope.Frequencies(c.HeadDim)}
}

// extend computes the tables of positions below n, if they are not there.
func (r *rope) extend(n int) {
	half := len(r.frequencies)
	for len(r.cos)*ropeBlock < n {
		cos, sin := make([]float32, ropeBlock*half), make([]float32, ropeBlock*half)
		for at := range ropeBlock {
			position := float64(len(r.cos)*ropeBlock + at)
			for i, f := range r.frequencies {
				s, c := kernel.SinCos(float64(position * f))
				cos[at*half+i], sin[at*half+i] = float32(c), float32(s)
			}
		}
		r.cos, r.sin = append(r.cos, cos), append(r.sin, sin)
	}
}

// at returns the cosines and sines of a position, HeadDim/2 of each.
func (r *rope) at(position int) (cos, sin []float32) {
	half := len(r.frequencies)
	block, from := position/ropeBlock, position%ropeBlock*half
	return r.cos[block][from : from+half], r.sin[block][from : from+half]
}
