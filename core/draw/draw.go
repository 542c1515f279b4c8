// Package draw makes randomness a pure function of (seed, what it is for).
//
// There is no shared stream: a new draw in one place shifts nothing elsewhere,
// and a live run draws exactly what the virtual run drew.
package draw

import (
	"hash/fnv"
	"math/rand/v2"
)

// Stream returns a generator that depends on seed and purpose alone.
func Stream(seed uint64, purpose string) *rand.Rand {
	h := fnv.New64a()
	_, _ = h.Write([]byte(purpose)) // a hash's Write never fails
	return rand.New(rand.NewPCG(mix(seed), mix(seed^h.Sum64())))
}

// Normal returns one draw of the standard normal distribution for
// (seed, purpose).
func Normal(seed uint64, purpose string) float64 {
	return Stream(seed, purpose).NormFloat64()
}

// mix is SplitMix64's finaliser: neighbouring seeds give unrelated streams.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
