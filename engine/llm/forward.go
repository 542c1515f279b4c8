package llm

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/spotserve/spotserve/engine/kernel"
)

// Embed looks the batch's tokens up: [rows][hidden]. It is for the first stage.
func (s *Shard) Embed(ctx context.Context, comm Comm, batch []Sequence) ([]float32, error) {
	if s.embeddings == nil {
		return nil, fmt.Errorf("llm: %v have no embedding, layer 0 has it", s.region)
	}
	if err := s.begin(comm, batch); err != nil {
		return nil, err
	}
	defer s.end()
	d := s.config.Hidden
	x := room(&s.buffers.x, len(s.rows)*d)
	for i, r := range s.rows {
		s.embed(x[i*d:(i+1)*d], int(r.token))
	}
	if err := comm.Sum(ctx, x); err != nil {
		return nil, fmt.Errorf("llm: sum of embeddings: %w", err)
	}
	return x, nil
}

// embed writes the row of a token to dst; -0 if another rank has it.
func (s *Shard) embed(dst []float32, token int) {
	for g, m := range s.embeddings {
		if from, to := s.config.VocabRange(s.region.Leaves[0] + g); token >= from && token < to {
			readRow(dst, m, token-from)
			return
		}
	}
	for i := range dst {
		dst[i] = float32(math.Copysign(0, -1))
	}
}

// Forward takes x, [rows][hidden], through the shard's layers, in place, and keeps
// the keys and values of the batch's positions.
func (s *Shard) Forward(ctx context.Context, comm Comm, batch []Sequence, x []float32) error {
	if err := s.begin(comm, batch); err != nil {
		return err
	}
	defer s.end()
	if err := s.checkRows(x); err != nil {
		return err
	}
	if err := s.hold(); err != nil {
		return err
	}
	s.x = x
	s.makeRoom()
	for s.layer = range s.layers {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.attention(ctx, comm); err != nil {
			return fmt.Errorf("llm: layer %d: %w", s.region.Layers[0]+s.layer, err)
		}
		if err := s.feedForward(ctx, comm); err != nil {
			return fmt.Errorf("llm: layer %d: %w", s.region.Layers[0]+s.layer, err)
		}
	}
	return nil
}

func (s *Shard) makeRoom() {
	n, f, b := len(s.rows)*s.leaves(), &s.layers[0].leaves[0], &s.buffers
	room(&b.hidden, len(s.rows)*s.config.Hidden)
	room(&b.sum, len(s.rows)*s.config.Hidden)
	room(&b.query, n*f.query.Rows)
	room(&b.key, n*f.key.Rows)
	room(&b.value, n*f.value.Rows)
	room(&b.attn, n*f.query.Rows)
	room(&b.ffn, n*f.gate.Rows)
}

// of is the part of a buffer that belongs to one leaf: [rows][width].
func (s *Shard) of(buffer []float32, leaf, width int) []float32 {
	n := len(s.rows) * width
	return buffer[leaf*n : (leaf+1)*n]
}

// attention adds the output of a layer's attention to x.
func (s *Shard) attention(ctx context.Context, comm Comm) error {
	b, l := &s.buffers, &s.layers[s.layer]
	s.cpu.RMSNorm(b.hidden, s.x, l.attnNorm, len(s.rows), s.config.NormEps)
	s.cpu.Parallel(len(s.plan.qkv), s.plan.doQKV)
	if err := s.keep(); err != nil {
		return err
	}
	s.cpu.Parallel(s.attendTasks(), s.plan.doAttend)
	s.cpu.Parallel(len(s.plan.out), s.plan.doOut)
	return s.addSum(ctx, comm)
}

// feedForward adds the output of a layer's feed-forward block to x.
func (s *Shard) feedForward(ctx context.Context, comm Comm) error {
	s.cpu.RMSNorm(s.buffers.hidden, s.x, s.layers[s.layer].ffnNorm, len(s.rows), s.config.NormEps)
	s.cpu.Parallel(len(s.plan.ffn), s.plan.doFFN)
	s.cpu.Parallel(len(s.plan.down), s.plan.doDown)
	return s.addSum(ctx, comm)
}

// addSum adds the sum over all leaves to x.
func (s *Shard) addSum(ctx context.Context, comm Comm) error {
	if err := comm.Sum(ctx, s.buffers.sum); err != nil {
		return err
	}
	s.cpu.Add(s.x, s.buffers.sum)
	return nil
}

func (s *Shard) taskQKV(i int) {
	t, b := s.plan.qkv[i], &s.buffers
	f := &s.layers[s.layer].leaves[t.leaf]
	m, out := f.query, b.query
	switch t.which {
	case 1:
		m, out = f.key, b.key
	case 2:
		m, out = f.value, b.value
	}
	s.cpu.MatMul(s.of(out, t.leaf, m.Rows)[t.from:], m.Rows, b.hidden, len(s.rows), part(m, t.from, t.to))
}

func (s *Shard) taskOut(i int) {
	s.sumLeaves(s.plan.out[i], s.buffers.attn, func(f *leaf) kernel.Matrix { return f.output })
}

func (s *Shard) taskDown(i int) {
	s.sumLeaves(s.plan.down[i], s.buffers.ffn, func(f *leaf) kernel.Matrix { return f.down })
}

// sumLeaves computes a tile of a projection over all leaves of the shard: each
// leaf alone, then their sum by the binary tree. The tree's open nodes are a stack
// as deep as the number of leaves so far has bits.
func (s *Shard) sumLeaves(t tile, input []float32, of func(*leaf) kernel.Matrix) {
	rows, width := len(s.rows), t.to-t.from
	size := rows * width
	leaves := s.layers[s.layer].leaves
	depth := 1
	for 1<<(depth-1) < len(leaves) {
		depth++
	}
	slot, scratch := s.slots.take(depth * size)
	defer s.slots.give(slot)
	open := 0
	for g := range leaves {
		m := of(&leaves[g])
		s.cpu.MatMul(scratch[open*size:(open+1)*size], width, s.of(input, g, m.Cols), rows, part(m, t.from, t.to))
		open++
		for n := g + 1; n%2 == 0; n /= 2 {
			open--
			s.cpu.Add(scratch[(open-1)*size:open*size], scratch[open*size:(open+1)*size])
		}
	}
	d := s.config.Hidden
	for r := range rows {
		copy(s.buffers.sum[r*d+t.from:r*d+t.to], scratch[r*width:(r+1)*width])
	}
}

func (s *Shard) taskFFN(i int) {
	t, b := s.plan.ffn[i], &s.buffers
	f := &s.layers[s.layer].leaves[t.leaf]
	rows, width := len(s.rows), t.to-t.from
	slot, up := s.slots.take(rows * width)
	defer s.slots.give(slot)
	gate := s.of(b.ffn, t.leaf, f.gate.Rows)
	s.cpu.MatMul(gate[t.from:], f.gate.Rows, b.hidden, rows, part(f.gate, t.from, t.to))
	s.cpu.MatMul(up, width, b.hidden, rows, part(f.up, t.from, t.to))
	for r := range rows {
		g := gate[r*f.gate.Rows+t.from : r*f.gate.Rows+t.to]
		s.cpu.SiluMul(g, g, up[r*width:(r+1)*width])
	}
}

// keep rotates the keys and stores them and the values in the cache.
func (s *Shard) keep() error {
	b, headDim := &s.buffers, s.config.HeadDim
	for g := range s.layers[s.layer].leaves {
		width := s.layers[s.layer].leaves[g].key.Rows
		keys, values := s.of(b.key, g, width), s.of(b.value, g, width)
		for r, at := range s.rows {
			cos, sin := s.rope.at(at.position)
			for h := 0; h < width; h += headDim {
				s.cpu.Rope(keys[r*width+h:r*width+h+headDim], cos, sin)
			}
		}
		first := 0
		for i := range s.batch {
			n := len(s.batch[i].Tokens)
			cell := s.holds[i].Cell(s.region.Layers[0]+s.layer, s.region.Leaves[0]+g)
			if err := cell.Write(s.batch[i].Start, n, keys[first*width:], values[first*width:], width); err != nil {
				return err
			}
			first += n
		}
	}
	return nil
}

// errNoHead is a mistake of the caller.
var errNoHead = errors.New("llm: only the last stage has a head")
