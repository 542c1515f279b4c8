// Package model says what a Llama-family decoder looks like and how it is cut
// into leaves: the shape, the blobs that weights travel in, and where the
// weights come from.
package model

import (
	"errors"
	"fmt"
	"math/bits"
)

// DType is how the elements of a weight matrix are stored.
type DType uint8

// The element types of weight matrices. Norm vectors are always F32.
const (
	F32 DType = iota
	BF16
)

// Bytes is the size of one element.
func (t DType) Bytes() int {
	if t == BF16 {
		return 2
	}
	return 4
}

func (t DType) String() string {
	if t == BF16 {
		return "bf16"
	}
	return "f32"
}

// Config is the shape of a decoder with RMSNorm, rotary positions, grouped-query
// attention and SwiGLU.
type Config struct {
	Name    string
	Layers  int
	Hidden  int // width of the residual stream
	Heads   int // of queries
	KVHeads int // of keys and values; divides Heads
	HeadDim int // even
	FFN     int // width of the feed-forward block
	Vocab   int
	Context int // most tokens of a sequence, prompt and output
	NormEps float32
	Rope    Rope
	// TiedHead: the output projection is the embedding matrix.
	TiedHead bool
	DType    DType
	// Leaves is G, the number of leaves of a layer and the largest
	// tensor-parallel degree: a power of two that divides KVHeads, Heads and FFN.
	Leaves int
	BOS    int   // -1: none
	EOS    []int // tokens that end an answer
}

// Rope is how positions are rotated into queries and keys. Element i of a head is
// paired with element i + HeadDim/2.
type Rope struct {
	Theta float64 // base of the frequencies
	// Scaling of Llama 3.1; Factor 0 is none.
	Factor, LowFreqFactor, HighFreqFactor float64
	OriginalContext                       int
}

// Validate says what is wrong with c; nil if it can be computed.
func (c Config) Validate() error {
	var errs []error
	within := func(name string, v, most int) {
		if v <= 0 || v > most {
			errs = append(errs, fmt.Errorf("%s is %d, must be 1 to %d", name, v, most))
		}
	}
	within("layers", c.Layers, 1<<12)
	within("hidden", c.Hidden, 1<<18)
	within("heads", c.Heads, 1<<12)
	within("kv_heads", c.KVHeads, 1<<12)
	within("head_dim", c.HeadDim, 1<<12)
	within("ffn", c.FFN, 1<<20)
	within("vocab", c.Vocab, 1<<24)
	within("context", c.Context, 1<<28)
	within("leaves", c.Leaves, 1<<12)
	if c.DType != F32 && c.DType != BF16 {
		errs = append(errs, fmt.Errorf("element type %d is unknown, must be %d (f32) or %d (bf16)", c.DType, F32, BF16))
	}
	if len(errs) > 0 {
		return fmt.Errorf("model %s: %w", c.Name, errors.Join(errs...))
	}
	divides := func(name string, v int) {
		if v%c.Leaves != 0 {
			errs = append(errs, fmt.Errorf("%s %d does not divide into %d leaves", name, v, c.Leaves))
		}
	}
	if bits.OnesCount(uint(c.Leaves)) != 1 {
		errs = append(errs, fmt.Errorf("leaves is %d, must be a power of two", c.Leaves))
	}
	divides("heads", c.Heads)
	divides("kv_heads", c.KVHeads)
	divides("ffn", c.FFN)
	if c.Heads%c.KVHeads != 0 {
		errs = append(errs, fmt.Errorf("heads %d is no multiple of kv_heads %d", c.Heads, c.KVHeads))
	}
	if c.HeadDim%2 != 0 {
		errs = append(errs, fmt.Errorf("head_dim %d is odd", c.HeadDim))
	}
	if c.Vocab < c.Leaves {
		errs = append(errs, fmt.Errorf("vocab %d is less than %d leaves", c.Vocab, c.Leaves))
	}
	if !(c.NormEps > 0 && c.NormEps < 1) {
		errs = append(errs, fmt.Errorf("norm_eps is %g, must be above 0 and below 1", c.NormEps))
	}
	if err := c.Rope.validate(); err != nil {
		errs = append(errs, err)
	}
	for _, id := range append([]int{c.BOS}, c.EOS...) {
		if id >= c.Vocab || id < -1 {
			errs = append(errs, fmt.Errorf("special token %d is outside the vocabulary of %d", id, c.Vocab))
		}
	}
	if len(errs) > 0 {
		return fmt.Errorf("model %s: %w", c.Name, errors.Join(errs...))
	}
	return nil
}

func (r Rope) validate() error {
	if !(r.Theta >= 1 && r.Theta <= 1e15) {
		return fmt.Errorf("rope theta is %g, must be 1 to 1e15", r.Theta)
	}
	if r.Factor == 0 {
		return nil
	}
	if !(r.Factor >= 1 && r.Factor <= 1e6) {
		return fmt.Errorf("rope factor is %g, must be 1 to 1e6, or 0 for none", r.Factor)
	}
	if !(r.LowFreqFactor > 0 && r.HighFreqFactor > r.LowFreqFactor && r.HighFreqFactor <= 1e6) {
		return fmt.Errorf("rope low_freq_factor is %g and high_freq_factor %g, must be positive, rising and at most 1e6", r.LowFreqFactor, r.HighFreqFactor)
	}
	if r.OriginalContext <= 0 {
		return fmt.Errorf("rope original context is %d, must be positive", r.OriginalContext)
	}
	return nil
}

// KVBytesPerToken is the KV cache of one token over all layers, in f32.
func (c Config) KVBytesPerToken() int64 {
	return 2 * 4 * int64(c.Layers) * int64(c.KVHeads) * int64(c.HeadDim)
}

// VocabRange is the part [from, to) of the vocabulary that leaf holds in the
// embedding and the head.
func (c Config) VocabRange(leaf int) (from, to int) {
	return c.Vocab * leaf / c.Leaves, c.Vocab * (leaf + 1) / c.Leaves
}

// DefaultLeaves is the G to cut a model by when nobody asks for another: the
// largest power of two up to 8 that divides its KV heads and its feed-forward
// width.
func (c Config) DefaultLeaves() int {
	g := 8
	for g > 1 && (c.KVHeads%g != 0 || c.FFN%g != 0) {
		g /= 2
	}
	return g
}

// ReadOptions are the choices of who opens a checkpoint.
type ReadOptions struct {
	// Leaves is G; 0 is DefaultLeaves.
	Leaves int
	// BF16 rounds matrices to bf16 where the file has more: half the memory for
	// other tokens than the file's. Else elements keep their values: matrices are
	// BF16 if all of the file's are, F32 if not.
	BF16 bool
}
