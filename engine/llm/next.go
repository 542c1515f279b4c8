package llm

import (
	"context"
	"errors"
	"fmt"
)

// errNotFinite says that logits are no numbers, which wrong weights make.
var errNotFinite = errors.New("llm: logits are not finite: are the weights right?")

// Next returns the next token of every sequence with Sample, in the batch's order,
// on every rank. x is what Forward of the last layer left. It is for the last
// stage.
func (s *Shard) Next(ctx context.Context, comm Comm, batch []Sequence, x []float32) ([]int32, error) {
	if s.heads == nil {
		return nil, errNoHead
	}
	if err := s.begin(comm, batch); err != nil {
		return nil, err
	}
	defer s.end()
	if err := s.checkRows(x); err != nil {
		return nil, err
	}
	s.head(x)
	if cap(s.buffers.tokens) < len(s.wanted) {
		s.buffers.tokens = make([]int32, len(s.wanted))
	}
	tokens := s.buffers.tokens[:len(s.wanted)]
	if err := s.greedy(ctx, comm, tokens); err != nil {
		return nil, err
	}
	if err := s.sampled(ctx, comm, tokens); err != nil {
		return nil, err
	}
	return tokens, nil
}

// Logits returns [sequences with Sample][vocab], on every rank.
func (s *Shard) Logits(ctx context.Context, comm Comm, batch []Sequence, x []float32) ([]float32, error) {
	if s.heads == nil {
		return nil, errNoHead
	}
	if err := s.begin(comm, batch); err != nil {
		return nil, err
	}
	defer s.end()
	if err := s.checkRows(x); err != nil {
		return nil, err
	}
	s.head(x)
	samples := len(s.wanted)
	if samples == 0 {
		return nil, nil
	}
	whole := room(&s.buffers.whole, samples*s.config.Vocab)
	if err := comm.Gather(ctx, whole, s.logits); err != nil {
		return nil, fmt.Errorf("llm: gather of logits: %w", err)
	}
	out := room(&s.buffers.logits, len(whole))
	for i := range samples {
		s.pick(out[i*s.config.Vocab:(i+1)*s.config.Vocab], whole, i, samples, comm.Size())
	}
	return out, nil
}

// head computes the logits of this rank's vocabulary for the last row of every
// sequence with Sample: [samples][part of the vocabulary].
func (s *Shard) head(x []float32) {
	d, first := s.config.Hidden, 0
	last := room(&s.buffers.hidden, len(s.rows)*d)
	s.wanted = s.wanted[:0]
	for i := range s.batch {
		first += len(s.batch[i].Tokens)
		if s.batch[i].Sample {
			copy(last[len(s.wanted)*d:], x[(first-1)*d:first*d])
			s.wanted = append(s.wanted, i)
		}
	}
	samples := len(s.wanted)
	if samples == 0 {
		return
	}
	s.cpu.RMSNorm(last, last, s.finalNorm, samples, s.config.NormEps)
	from, to := s.vocab()
	s.logits = room(&s.buffers.part, samples*(to-from))
	s.cpu.Parallel(len(s.plan.head), s.plan.doHead)
}

func (s *Shard) taskHead(i int) {
	t := s.plan.head[i]
	from, to := s.vocab()
	start, _ := s.config.VocabRange(s.region.Leaves[0] + t.leaf)
	s.cpu.MatMul(s.logits[start-from+t.from:], to-from, s.buffers.hidden, len(s.wanted), part(s.heads[t.leaf], t.from, t.to))
}

// greedy fills the tokens of the sequences that are not sampled: ranks exchange
// their largest logit and its token, which float32 holds exactly (a vocabulary has
// at most 2^24).
func (s *Shard) greedy(ctx context.Context, comm Comm, tokens []int32) error {
	from, to := s.vocab()
	mine := s.buffers.key[:0] // by sequence: logit, token
	for k, i := range s.wanted {
		if s.batch[i].Sampling.Temperature > 0 {
			continue
		}
		index, value := s.cpu.Argmax(s.logits[k*(to-from) : (k+1)*(to-from)])
		if index >= 0 {
			index += from
		}
		mine = append(mine, value, float32(index))
	}
	s.buffers.key = mine
	if len(mine) == 0 {
		return nil
	}
	all := room(&s.buffers.whole, len(mine)*comm.Size())
	if err := comm.Gather(ctx, all, mine); err != nil {
		return fmt.Errorf("llm: gather of tokens: %w", err)
	}
	at := 0
	for k, i := range s.wanted {
		if s.batch[i].Sampling.Temperature > 0 {
			continue
		}
		token, largest := float32(-1), float32(0)
		for rank := range comm.Size() {
			// Of equal logits the lower rank has the lower token.
			value, its := all[rank*len(mine)+at], all[rank*len(mine)+at+1]
			if token < 0 || value > largest {
				token, largest = its, value
			}
		}
		if token < 0 {
			return fmt.Errorf("sequence %d: %w", s.batch[i].ID, errNotFinite)
		}
		tokens[k] = int32(token)
		at += 2
	}
	return nil
}

// sampled fills the tokens of the sequences that are drawn: every rank has all
// logits and draws alike.
func (s *Shard) sampled(ctx context.Context, comm Comm, tokens []int32) error {
	from, to := s.vocab()
	n := 0 // that are drawn; their logits move to the front
	for k, i := range s.wanted {
		if s.batch[i].Sampling.Temperature > 0 {
			copy(s.logits[n*(to-from):(n+1)*(to-from)], s.logits[k*(to-from):(k+1)*(to-from)])
			n++
		}
	}
	if n == 0 {
		return nil
	}
	whole := room(&s.buffers.whole, n*s.config.Vocab)
	if err := comm.Gather(ctx, whole, s.logits[:n*(to-from)]); err != nil {
		return fmt.Errorf("llm: gather of logits: %w", err)
	}
	one := room(&s.buffers.logits, s.config.Vocab)
	at := 0
	for k, i := range s.wanted {
		q := &s.batch[i]
		if q.Sampling.Temperature == 0 {
			continue
		}
		s.pick(one, whole, at, n, comm.Size())
		token, err := s.sampler.draw(one, q.Sampling, q.Start+len(q.Tokens))
		if err != nil {
			return fmt.Errorf("sequence %d: %w", q.ID, err)
		}
		tokens[k] = token
		at++
	}
	return nil
}

// pick copies one of n samples out of what the ranks gathered: [rank][sample]
// [the rank's part of the vocabulary].
func (s *Shard) pick(dst, whole []float32, sample, n, ranks int) {
	for rank := range ranks {
		from, _ := s.config.VocabRange(rank * s.leaves())
		_, to := s.config.VocabRange((rank+1)*s.leaves() - 1)
		at := n*from + sample*(to-from)
		copy(dst[from:to], whole[at:at+to-from])
	}
}
