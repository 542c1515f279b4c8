package draw

import "math/rand/v2"

// NormalAt is Normal for the draws of one purpose that are told apart by
// numbers. It is for draws by the million: it makes no text.
func NormalAt(seed uint64, purpose string, numbers ...uint64) float64 {
	s := splitMix(Number(seed, purpose, numbers...))
	return rand.New(&s).NormFloat64()
}

// Number returns 64 random bits for the draw of a purpose that is told apart by
// numbers.
func Number(seed uint64, purpose string, numbers ...uint64) uint64 {
	const offset, prime = 14695981039346656037, 1099511628211 // FNV-1a
	h := uint64(offset)
	for i := range len(purpose) {
		h = (h ^ uint64(purpose[i])) * prime
	}
	x := mix(seed ^ mix(h))
	for _, n := range numbers {
		x = mix(x ^ n)
	}
	return x
}

// splitMix is a source of few draws: it costs nothing to seed.
type splitMix uint64

// Uint64 implements rand.Source.
func (s *splitMix) Uint64() uint64 {
	*s++
	return mix(uint64(*s))
}
