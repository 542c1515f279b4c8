package llm

import (
	"math"
)

// attendPerThread is into how many tasks a thread's share of attention is cut:
// later positions of a prompt take longer than earlier ones.
const attendPerThread = 4

// attendTasks is how many tasks the heads of all rows make.
func (s *Shard) attendTasks() int {
	return min(s.attendItems(), s.cpu.Threads()*attendPerThread)
}

// attendItems counts query heads of rows. In order they are [sequence][leaf]
// [query head][row]: the rows of one head read the same keys.
func (s *Shard) attendItems() int {
	return len(s.rows) * s.leaves() * s.leafHeads()
}

// leafHeads is how many query heads a leaf has.
func (s *Shard) leafHeads() int { return s.config.Heads / s.config.Leaves }

// taskAttend computes one task's share of the items.
func (s *Shard) taskAttend(task int) {
	items, tasks := s.attendItems(), s.attendTasks()
	from, to := items*task/tasks, items*(task+1)/tasks
	slot, scores := s.slots.take(s.longest)
	defer s.slots.give(slot)
	heads := s.leaves() * s.leafHeads()
	first := 0 // row of the sequence's first token
	for i := range s.batch {
		n := len(s.batch[i].Tokens)
		begin := first * heads
		for item := max(from, begin); item < min(to, begin+n*heads); item++ {
			head, r := (item-begin)/n, first+(item-begin)%n
			s.attend(i, head/s.leafHeads(), head%s.leafHeads(), r, scores)
		}
		first += n
	}
}

// attend computes one query head of one row.
func (s *Shard) attend(sequence, leaf, head, r int, scores []float32) {
	headDim, width := s.config.HeadDim, s.leafHeads()*s.config.HeadDim
	at := r*width + head*headDim
	q := s.of(s.buffers.query, leaf, width)[at : at+headDim]
	out := s.of(s.buffers.attn, leaf, width)[at : at+headDim]
	position := s.rows[r].position
	cos, sin := s.rope.at(position)
	s.cpu.Rope(q, cos, sin)
	cell := s.holds[sequence].Cell(s.region.Layers[0]+s.layer, s.region.Leaves[0]+leaf)
	of := head / (s.config.Heads / s.config.KVHeads)
	scale := float32(1 / math.Sqrt(float64(headDim)))
	s.cpu.Attend(out, q, cell.Keys(of), cell.Values(of), position+1, scale, scores)
}
