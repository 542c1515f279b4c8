// Package idset remembers which requests have ended, in about a bit each where
// their numbers lie close to each other.
package idset

// Set is a set of numbers, most of which lie close to others. The zero value is
// empty.
type Set struct {
	blocks map[uint64]*block
	far    map[uint64]struct{} // from Far on
}

// Far is where the numbers begin that are spread at random: a block for each of
// them would be a waste.
const Far = 1 << 62

// block holds the numbers of one stretch of 4096.
type block [64]uint64

// Add puts id in and reports whether it was not in before.
func (s *Set) Add(id uint64) bool {
	if s.Has(id) {
		return false
	}
	if id >= Far {
		if s.far == nil {
			s.far = make(map[uint64]struct{})
		}
		s.far[id] = struct{}{}
		return true
	}
	b := s.blocks[id>>12]
	if b == nil {
		if s.blocks == nil {
			s.blocks = make(map[uint64]*block)
		}
		b = new(block)
		s.blocks[id>>12] = b
	}
	b[id>>6&63] |= 1 << (id & 63)
	return true
}

// Remove takes id out.
func (s *Set) Remove(id uint64) {
	delete(s.far, id)
	if b := s.blocks[id>>12]; b != nil {
		b[id>>6&63] &^= 1 << (id & 63)
	}
}

// Has reports whether id is in the set.
func (s *Set) Has(id uint64) bool {
	if id >= Far {
		_, ok := s.far[id]
		return ok
	}
	b := s.blocks[id>>12]
	return b != nil && b[id>>6&63]&(1<<(id&63)) != 0
}
