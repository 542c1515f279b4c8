package invariant

import "github.com/spotserve/spotserve/core/event"

// idSet is a set of request IDs, a bit each: what has ended is remembered in
// little space, so that a second end is found however late it comes. IDs count
// up from 0; others cost a page each.
type idSet map[event.RequestID]*page

const pageBits = 4096

// page holds the IDs from pageBits times its key on.
type page [pageBits / 64]uint64

func (s idSet) add(id event.RequestID) {
	p := s[id/pageBits]
	if p == nil {
		p = new(page)
		s[id/pageBits] = p
	}
	p[id%pageBits/64] |= 1 << (id % 64)
}

func (s idSet) has(id event.RequestID) bool {
	p := s[id/pageBits]
	return p != nil && p[id%pageBits/64]&(1<<(id%64)) != 0
}
