package kv

import (
	"fmt"
	"unsafe"
)

// slabBytes is about what is taken from Alloc at once: pages are smaller than
// what a mapping of its own is worth.
const slabBytes = 4 << 20

// pool hands out pages of one size. A cache's mutex guards it.
type pool struct {
	alloc      func(bytes int64) (Block, error)
	pageFloats int
	capacity   int // in pages, as held and used
	held, used int
	slabs      []*slab
}

type slab struct {
	block  Block
	floats []float32
	free   []int32 // pages, as a stack
	pages  int
}

// page is [kv_head][K|V][PageTokens][head_dim].
type page struct {
	slab   *slab
	index  int32
	floats []float32
}

// take returns n pages or none.
func (p *pool) take(n int) ([]page, error) {
	if n > p.capacity-p.used {
		size := 4 * int64(p.pageFloats)
		return nil, fmt.Errorf("%w: %d bytes more asked for, %d of %d used", ErrFull, int64(n)*size, int64(p.used)*size, int64(p.capacity)*size)
	}
	out := make([]page, 0, n)
	for _, s := range p.slabs {
		out = p.takeFrom(s, out, n)
	}
	for len(out) < n {
		s, err := p.grow()
		if err != nil {
			p.free(out)
			return nil, err
		}
		out = p.takeFrom(s, out, n)
	}
	return out, nil
}

func (p *pool) takeFrom(s *slab, out []page, n int) []page {
	for len(out) < n && len(s.free) > 0 {
		i := s.free[len(s.free)-1]
		s.free = s.free[:len(s.free)-1]
		at := int(i) * p.pageFloats
		out = append(out, page{slab: s, index: i, floats: s.floats[at : at+p.pageFloats : at+p.pageFloats]})
		p.used++
	}
	return out
}

func (p *pool) grow() (*slab, error) {
	pages := min(max(slabBytes/(4*p.pageFloats), 1), p.capacity-p.held)
	bytes := int64(pages) * int64(p.pageFloats) * 4
	block, err := p.alloc(bytes)
	for err != nil && pages > 1 { // what is lent may have a bound of its own
		pages /= 2
		bytes = int64(pages) * int64(p.pageFloats) * 4
		block, err = p.alloc(bytes)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFull, err)
	}
	b := block.Bytes()
	if int64(len(b)) < bytes || uintptr(unsafe.Pointer(unsafe.SliceData(b)))%4 != 0 {
		block.Free()
		return nil, fmt.Errorf("kv: %d bytes were lent, or not aligned to 4; asked for %d", len(b), bytes)
	}
	s := &slab{block: block, floats: floatsOf(b[:bytes]), pages: pages}
	for i := pages - 1; i >= 0; i-- {
		s.free = append(s.free, int32(i))
	}
	p.slabs = append(p.slabs, s)
	p.held += pages
	return s, nil
}

// free takes pages back, and gives back slabs of which none is used.
func (p *pool) free(pages []page) {
	idle := false
	for _, x := range pages {
		x.slab.free = append(x.slab.free, x.index)
		idle = idle || len(x.slab.free) == x.slab.pages
	}
	p.used -= len(pages)
	if !idle {
		return
	}
	kept := p.slabs[:0]
	for _, s := range p.slabs {
		if len(s.free) == s.pages {
			p.held -= s.pages
			s.block.Free()
			continue
		}
		kept = append(kept, s)
	}
	clear(p.slabs[len(kept):])
	p.slabs = kept
}

type heap struct{ floats []float32 }

func heapBlock(bytes int64) (Block, error) { return heap{make([]float32, (bytes+3)/4)}, nil }

func (h heap) Bytes() []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(h.floats))), 4*len(h.floats))
}

func (heap) Free() {}

// floatsOf views bytes that are aligned to 4 as float32 in the machine's order.
func floatsOf(b []byte) []float32 {
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/4)
}

// bytesOf is the inverse of floatsOf.
func bytesOf(f []float32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(f))), 4*len(f))
}
