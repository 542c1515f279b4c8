package node

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/spotserve/spotserve/engine/llm"
)

// What devices say to each other in the head of a message. All numbers are
// little-endian.
//
//	work    u32 count of released sequences, u64 each; u32 count of sequences; each
//	        u64 id, u32 start, u8 sample, f32 temperature, f32 top_p, u32 top_k,
//	        u64 seed, u32 count of tokens, i32 each
//	answer  u32 count of tokens, i32 each
//	landed  u32 count of sequences; each u64 id, u32 tokens

// work is one pass of a micro-batch.
type work struct {
	release []uint64 // sequences that are done with
	batch   []llm.Sequence
}

// rows is how many tokens the pass computes.
func (w *work) rows() int {
	n := 0
	for _, s := range w.batch {
		n += len(s.Tokens)
	}
	return n
}

func (w *work) encode() []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(w.release)))
	for _, id := range w.release {
		b = binary.LittleEndian.AppendUint64(b, id)
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(w.batch)))
	for _, s := range w.batch {
		b = binary.LittleEndian.AppendUint64(b, s.ID)
		b = binary.LittleEndian.AppendUint32(b, uint32(s.Start))
		sample := byte(0)
		if s.Sample {
			sample = 1
		}
		b = append(b, sample)
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(s.Sampling.Temperature))
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(s.Sampling.TopP))
		b = binary.LittleEndian.AppendUint32(b, uint32(s.Sampling.TopK))
		b = binary.LittleEndian.AppendUint64(b, s.Sampling.Seed)
		b = appendTokens(b, s.Tokens)
	}
	return b
}

func decodeWork(head []byte) (work, error) {
	r := reader{rest: head}
	var w work
	for range r.count(8) {
		w.release = append(w.release, r.u64())
	}
	for range r.count(37) {
		s := llm.Sequence{ID: r.u64(), Start: int(r.u32()), Sample: r.u8() == 1}
		s.Sampling = llm.Sampling{
			Temperature: math.Float32frombits(r.u32()), TopP: math.Float32frombits(r.u32()), TopK: int(r.u32()), Seed: r.u64(),
		}
		s.Tokens = r.tokens()
		w.batch = append(w.batch, s)
	}
	return w, r.end("work")
}

func encodeAnswer(tokens []int32) []byte { return appendTokens(nil, tokens) }

func decodeAnswer(head []byte) ([]int32, error) {
	r := reader{rest: head}
	tokens := r.tokens()
	return tokens, r.end("answer")
}

// landed is how many tokens of a sequence's KV cache are there.
type landed struct {
	id     uint64
	tokens int
}

func encodeLanded(all []landed) []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(all)))
	for _, l := range all {
		b = binary.LittleEndian.AppendUint64(b, l.id)
		b = binary.LittleEndian.AppendUint32(b, uint32(l.tokens))
	}
	return b
}

func decodeLanded(head []byte) (all []landed, err error) {
	r := reader{rest: head}
	for range r.count(12) {
		all = append(all, landed{r.u64(), int(r.u32())})
	}
	return all, r.end("landed")
}

func appendTokens(b []byte, tokens []int32) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(tokens)))
	for _, t := range tokens {
		b = binary.LittleEndian.AppendUint32(b, uint32(t))
	}
	return b
}

// reader takes numbers off a head. Behind the end it reads zeros, which end
// reports.
type reader struct {
	rest  []byte
	short bool
}

func (r *reader) take(n int) []byte {
	if len(r.rest) < n {
		r.short, r.rest = true, nil
		return make([]byte, n)
	}
	out := r.rest[:n]
	r.rest = r.rest[n:]
	return out
}

func (r *reader) u8() byte    { return r.take(1)[0] }
func (r *reader) u32() uint32 { return binary.LittleEndian.Uint32(r.take(4)) }
func (r *reader) u64() uint64 { return binary.LittleEndian.Uint64(r.take(8)) }

// count reads a count of things that take at least size bytes each.
func (r *reader) count(size int) int {
	n := int(r.u32())
	if n > len(r.rest)/size {
		r.short = true
		return 0
	}
	return n
}

func (r *reader) tokens() []int32 {
	n := r.count(4)
	if n == 0 {
		return nil
	}
	out := make([]int32, n)
	for i := range out {
		out[i] = int32(r.u32())
	}
	return out
}

var errHead = errors.New("bad head of a message")

func (r *reader) end(what string) error {
	switch {
	case r.short:
		return fmt.Errorf("%w: %s is cut off", errHead, what)
	case len(r.rest) > 0:
		return fmt.Errorf("%w: %d bytes follow %s", errHead, len(r.rest), what)
	}
	return nil
}
