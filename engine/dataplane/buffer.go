package dataplane

import (
	"math/bits"
	"sync"
	"unsafe"
)

// buffer is memory for one message: rows first, where they are aligned, then the
// head. Buffers come in powers of two and are used again.
type buffer struct {
	memory []float32
	class  int
}

var pools [bits.UintSize]sync.Pool

// classOf is which power of two floats hold n bytes.
func classOf(n int) int {
	words := (n + 3) / 4
	return bits.Len(uint(max(words, 64) - 1))
}

// bufferBytes is how long a buffer of at least n bytes is.
func bufferBytes(n int) int { return 4 << classOf(n) }

// newBuffer returns a buffer of at least n bytes.
func newBuffer(n int) *buffer {
	class := classOf(n)
	if b, ok := pools[class].Get().(*buffer); ok {
		return b
	}
	return &buffer{memory: make([]float32, 1<<class), class: class}
}

func (b *buffer) release() { pools[b.class].Put(b) }

// split returns the places of n rows' floats and of a head of h bytes.
func (b *buffer) split(n, h int) (rows []float32, head []byte) {
	rest := bytesOf(b.memory[n:])
	return b.memory[:n:n], rest[:h:h]
}

// bytesOf is the memory of x. The wire is little-endian, as are all the machines
// that Go's linux and darwin ports for amd64 and arm64 run on.
func bytesOf(x []float32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(x))), 4*len(x))
}
