// Package idset remembers which requests have ended, in about a bit each.
package idset

// Set is a set of numbers, most of which lie close to others. The zero value is
// empty.
type Set struct {
	blocks map[uint64]*block
}

// block holds the numbers of one stretch of 4096.
type block [64]uint64

// Add puts id in and reports whether it was not in before.
func (s *Set) Add(id uint64) bool {
	b := s.blocks[id>>12]
	if b == nil {
		if s.blocks == nil {
			s.blocks = make(map[uint64]*block)
		}
		b = new(block)
		s.blocks[id>>12] = b
	}
	word, bit := &b[id>>6&63], uint64(1)<<(id&63)
	if *word&bit != 0 {
		return false
	}
	*word |= bit
	return true
}

// Has reports whether id is in the set.
func (s *Set) Has(id uint64) bool {
	b := s.blocks[id>>12]
	return b != nil && b[id>>6&63]&(1<<(id&63)) != 0
}
