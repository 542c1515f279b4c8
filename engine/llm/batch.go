package llm

import (
	"errors"
	"fmt"
	"math"

	"github.com/spotserve/spotserve/engine/kv"
)

// ErrInput says that a batch can never be computed as it is.
var ErrInput = errors.New("llm: bad batch")

// Sequence is one sequence's part of a step: the tokens at positions Start,
// Start+1, and so on, after what the KV cache has. Positions that the cache has
// already are computed again, to the same bits.
type Sequence struct {
	ID     uint64
	Start  int
	Tokens []int32
	// Sample asks for the token after the last.
	Sample   bool
	Sampling Sampling
}

// row is a token of a batch.
type row struct {
	position int
	token    int32
}

// check says what is wrong with a batch. What a stage needs of the KV cache is
// checked by hold.
func (s *Shard) check(batch []Sequence) error {
	if len(batch) == 0 {
		return fmt.Errorf("%w: it has no sequence", ErrInput)
	}
	c := &s.config
	for i := range batch {
		q := &batch[i]
		if len(q.Tokens) == 0 {
			return fmt.Errorf("%w: sequence %d has no tokens", ErrInput, q.ID)
		}
		if q.Start < 0 || q.Start > c.Context-len(q.Tokens) {
			return fmt.Errorf("%w: sequence %d has positions %d to %d, model %s takes 0 to %d", ErrInput, q.ID, q.Start, q.Start+len(q.Tokens)-1, c.Name, c.Context-1)
		}
		for at, token := range q.Tokens {
			if token < 0 || int(token) >= c.Vocab {
				return fmt.Errorf("%w: token %d of sequence %d at position %d, model %s has 0 to %d", ErrInput, token, q.ID, q.Start+at, c.Name, c.Vocab-1)
			}
		}
		for j := range i {
			if batch[j].ID == q.ID {
				return fmt.Errorf("%w: sequence %d is in it twice", ErrInput, q.ID)
			}
		}
		if q.Sample {
			if err := q.Sampling.check(); err != nil {
				return fmt.Errorf("%w: sequence %d: %w", ErrInput, q.ID, err)
			}
		}
	}
	return nil
}

func (p Sampling) check() error {
	if !(p.Temperature >= 0 && p.Temperature <= math.MaxFloat32) {
		return fmt.Errorf("temperature is %g, must be 0 (greedy) or more", p.Temperature)
	}
	if !(p.TopP >= 0 && p.TopP <= 1) {
		return fmt.Errorf("top_p is %g, must be 0 to 1", p.TopP)
	}
	if p.TopK < 0 {
		return fmt.Errorf("top_k is %d, must be 0 (all) or more", p.TopK)
	}
	return nil
}

// begin takes the shard for one call, and checks and lays out the batch. The
// caller must call end if it returns nil.
func (s *Shard) begin(comm Comm, batch []Sequence) error {
	if !s.busy.CompareAndSwap(false, true) {
		return errors.New("llm: the shard is in another step")
	}
	err := s.checkComm(comm)
	if err == nil {
		err = s.check(batch)
	}
	if err != nil {
		s.busy.Store(false)
		return err
	}
	s.batch, s.rows = batch, s.rows[:0]
	for i := range batch {
		for at, token := range batch[i].Tokens {
			s.rows = append(s.rows, row{position: batch[i].Start + at, token: token})
		}
	}
	return nil
}

func (s *Shard) end() {
	for i := range s.holds {
		s.holds[i].Release()
	}
	s.holds, s.batch, s.x, s.logits = s.holds[:0], nil, nil, nil
	s.busy.Store(false)
}

// hold makes room for the batch in the KV cache and keeps it there until end.
func (s *Shard) hold() error {
	last := 0
	for i := range s.batch {
		q := &s.batch[i]
		until := q.Start + len(q.Tokens)
		h, err := s.cache.Hold(q.ID, s.region, until)
		if err != nil {
			return err
		}
		s.holds = append(s.holds, h)
		for layer := s.region.Layers[0]; layer < s.region.Layers[1]; layer++ {
			for leaf := s.region.Leaves[0]; leaf < s.region.Leaves[1]; leaf++ {
				if have := h.Cell(layer, leaf).Tokens(); have < q.Start {
					return fmt.Errorf("llm: %w position %d of sequence %d in layer %d, leaf %d: %d are there", kv.ErrGap, q.Start, q.ID, layer, leaf, have)
				}
			}
		}
		last = max(last, until)
	}
	s.rope.extend(last)
	s.longest = last
	return nil
}

func (s *Shard) checkRows(x []float32) error {
	if want := len(s.rows) * s.config.Hidden; len(x) != want {
		return fmt.Errorf("%w: %d rows of %d elements are %d, got %d", ErrInput, len(s.rows), s.config.Hidden, want, len(x))
	}
	return nil
}

func (s *Shard) checkComm(comm Comm) error {
	ranks := s.config.Leaves / s.leaves()
	if comm.Size() != ranks || comm.Rank() != s.region.Leaves[0]/s.leaves() {
		return fmt.Errorf("llm: rank %d of %d has %v: it must be rank %d of %d", comm.Rank(), comm.Size(), s.region, s.region.Leaves[0]/s.leaves(), ranks)
	}
	return nil
}
