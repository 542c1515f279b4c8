package model

import "math"

// Synthetic returns weights that are made up from a seed. Every element is a pure
// function of (seed, role, layer, row and column in the whole matrix): it is the
// same however the model is cut, on every machine, whatever was read before.
//
// Elements are about normally distributed (a sum of four uniforms) and scaled
// like those of trained models: outputs of matrices are of order one, norms are
// near one. Queries and keys are larger, so that attention looks at few tokens,
// not at their mean: a wrong KV cache then shows in the tokens.
func Synthetic(c Config, seed uint64) (Source, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	s := &synthetic{config: c, seed: seed}
	for role := range s.scale {
		_, cols := c.Shape(Role(role))
		s.scale[role] = float32(gains[role] / (math.Sqrt(float64(cols)) * uniformsDeviation))
	}
	return Cut(s), nil
}

// gains by role: the standard deviation of a matrix's outputs, given inputs of
// deviation one. Norms are vectors near one instead: see normDeviation.
var gains = [Head + 1]float64{
	Embedding: 1.5, Query: 2, Key: 1.5, Value: 1, Output: 1, Gate: 1, Up: 1, Down: 1, Head: 3,
}

const (
	// uniformsDeviation is that of a sum of four uniform integers below 2^16:
	// 2^16 / sqrt(12) * sqrt(4), to six digits.
	uniformsDeviation = 37837.2
	normDeviation     = 0.1
)

type synthetic struct {
	config Config
	seed   uint64
	scale  [Head + 1]float32
}

func (s *synthetic) Config() Config { return s.config }
func (s *synthetic) Close() error   { return nil }

func (s *synthetic) ReadRow(role Role, layer, row, col int, dst []byte) error {
	key := mix(mix(mix(mix(s.seed)+uint64(role))+uint64(layer)) + uint64(row))
	scale, shift := s.scale[role], float32(0)
	switch role {
	case AttnNorm, FFNNorm, FinalNorm:
		scale, shift = float32(normDeviation/uniformsDeviation), 1
	}
	t := s.config.ElementType(role)
	var buffer [256]float32
	for len(dst) > 0 {
		part := buffer[:min(len(buffer), len(dst)/t.Bytes())]
		for i := range part {
			h := mix(key + uint64(col+i))
			sum := int32(h&0xffff) + int32(h>>16&0xffff) + int32(h>>32&0xffff) + int32(h>>48) - 2*0xffff
			part[i] = float32(float32(sum)*scale) + shift // two roundings everywhere: no fused multiply-add
		}
		Encode(dst, part, t)
		dst, col = dst[len(part)*t.Bytes():], col+len(part)
	}
	return nil
}

// mix is SplitMix64: neighbouring inputs give unrelated outputs.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
