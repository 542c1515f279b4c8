package kernel

import "unsafe"

// tile is what the assembly computes at a time: out for some rows and tokens.
// Strides are in bytes. A row is steps groups of 32 elements and, where xTail is
// set, a last one that lies padded in the tails: of the tokens [tokens][32], of
// the rows [rows][32].
type tile struct {
	out       unsafe.Pointer // float32
	outStride uintptr        // between tokens
	x         unsafe.Pointer // float32
	xStride   uintptr
	w         unsafe.Pointer // float32 or bfloat16
	wStride   uintptr
	steps     uintptr
	xTail     unsafe.Pointer
	wTail     unsafe.Pointer
	ahead     uintptr // memory to prefetch; it may lie beyond the matrix
}

// tileTokens is how many tokens a tile has at most.
const tileTokens = 3

// tileRows is how many rows the tiles of a level have where a product has n
// tokens.
func tileRows(l Level, n int) int {
	switch {
	case l == AVX512 && n == 1:
		return 8
	case l == AVX512:
		return 4
	default:
		return 2
	}
}

// tokensOf is how many tokens the next tile takes of those that are left: no
// tile of several rows has a single token unless the product has.
func tokensOf(left int) int {
	if left == 4 {
		return 2
	}
	return min(left, tileTokens)
}

// matMulRows is rows [from, to) of a product; see [CPU.MatMul].
func matMulRows(l Level, out []float32, stride int, x []float32, n int, w Matrix, from, to int) {
	if l == Generic || w.Cols == 0 {
		matMulGeneric(out, stride, x, n, w, from, to)
		return
	}
	// As many tokens at a time as stay in the cache while the rows pass by.
	group := max(cacheBytes/(4*w.Cols)/tileTokens, 2) * tileTokens
	for n > 0 {
		tokens := min(group, n)
		if n-tokens == 1 {
			tokens -= tileTokens // rather than leave one alone
		}
		if w.Cols%lanes == 0 {
			matMulTiles(l, out, stride, x, tokens, w, from, to, nil)
		} else {
			var padded tails
			matMulTiles(l, out, stride, x, tokens, w, from, to, &padded)
		}
		if n -= tokens; n > 0 {
			out, x = out[tokens*stride:], x[tokens*w.Cols:]
		}
	}
}

// matMulTiles is matMulRows tile by tile; padded is room for tails, nil if there
// are none.
func matMulTiles(l Level, out []float32, stride int, x []float32, n int, w Matrix, from, to int, padded *tails) {
	size := uintptr(4)
	weights := unsafe.Pointer(unsafe.SliceData(w.F32))
	if w.BF16 != nil {
		size = 2
		weights = unsafe.Pointer(unsafe.SliceData(w.BF16))
	}
	t := tile{
		outStride: uintptr(stride) * 4, xStride: uintptr(w.Cols) * 4, wStride: uintptr(w.Cols) * size,
		steps: uintptr(w.Cols / lanes),
	}
	if padded != nil {
		t.xTail, t.wTail = unsafe.Pointer(&padded.x), unsafe.Pointer(&padded.f32)
		if w.BF16 != nil {
			t.wTail = unsafe.Pointer(&padded.bf16)
		}
	}
	rows := tileRows(l, n)
	for r := from; r < to; r += rows {
		if to-r < rows {
			rows = 1
		}
		if padded != nil {
			padded.setRows(w, r, rows)
		}
		t.w = unsafe.Add(weights, uintptr(r)*t.wStride)
		block := uintptr(rows) * t.wStride
		ahead := uintptr(t.w) + block
		for token := 0; token < n; {
			tokens := tokensOf(n - token)
			if rows == 1 {
				tokens = 1
			}
			t.out = unsafe.Pointer(&out[token*stride+r])
			t.x = unsafe.Pointer(&x[token*w.Cols])
			if t.ahead = ahead; ahead-uintptr(t.w) >= 2*block {
				t.ahead = uintptr(t.x) // the next rows are on their way
			}
			if padded != nil {
				padded.setTokens(x, w.Cols, token, tokens)
			}
			compute(l, &t, rows, tokens, w.BF16 != nil)
			token += tokens
			ahead += aheadBytes * t.steps
		}
	}
}

// aheadBytes is how much the assembly prefetches in a step of a tile with three
// tokens; with less it prefetches all that follows.
const aheadBytes = 256

// cacheBytes is about half of a second-level cache. The result does not depend
// on it.
const cacheBytes = 512 << 10

// tails are the last, short groups of rows and tokens, padded with zeros.
type tails struct {
	x    [tileTokens][lanes]float32
	f32  [rowsPerTile][lanes]float32
	bf16 [rowsPerTile][lanes]uint16
}

func (s *tails) setRows(w Matrix, from, rows int) {
	for i := range rows {
		rest, end := w.Cols&^(lanes-1), w.Cols
		at := (from + i) * w.Cols
		if w.BF16 != nil {
			copy(s.bf16[i][:], w.BF16[at+rest:at+end])
		} else {
			copy(s.f32[i][:], w.F32[at+rest:at+end])
		}
	}
}

func (s *tails) setTokens(x []float32, cols, from, tokens int) {
	for i := range tokens {
		at := (from + i) * cols
		copy(s.x[i][:], x[at+cols&^(lanes-1):at+cols])
	}
}

// compute runs the assembly for a tile of the given shape; one row has one token.
func compute(l Level, t *tile, rows, tokens int, bf16 bool) {
	if rows == 1 {
		tokens = 0
	}
	switch {
	case l == AVX512 && bf16:
		switch tokens {
		case 0:
			elementBF16AVX512(t)
		case 1:
			tile1BF16AVX512(t)
		case 2:
			tile2BF16AVX512(t)
		default:
			tile3BF16AVX512(t)
		}
	case l == AVX512:
		switch tokens {
		case 0:
			elementF32AVX512(t)
		case 1:
			tile1F32AVX512(t)
		case 2:
			tile2F32AVX512(t)
		default:
			tile3F32AVX512(t)
		}
	case bf16:
		switch tokens {
		case 0:
			elementBF16AVX2(t)
		case 1:
			tile1BF16AVX2(t)
		case 2:
			tile2BF16AVX2(t)
		default:
			tile3BF16AVX2(t)
		}
	default:
		switch tokens {
		case 0:
			elementF32AVX2(t)
		case 1:
			tile1F32AVX2(t)
		case 2:
			tile2F32AVX2(t)
		default:
			tile3F32AVX2(t)
		}
	}
}

//go:noescape
func tile3F32AVX512(t *tile)

//go:noescape
func tile2F32AVX512(t *tile)

//go:noescape
func tile1F32AVX512(t *tile)

//go:noescape
func elementF32AVX512(t *tile)

//go:noescape
func tile3BF16AVX512(t *tile)

//go:noescape
func tile2BF16AVX512(t *tile)

//go:noescape
func tile1BF16AVX512(t *tile)

//go:noescape
func elementBF16AVX512(t *tile)

//go:noescape
func tile3F32AVX2(t *tile)

//go:noescape
func tile2F32AVX2(t *tile)

//go:noescape
func tile1F32AVX2(t *tile)

//go:noescape
func elementF32AVX2(t *tile)

//go:noescape
func tile3BF16AVX2(t *tile)

//go:noescape
func tile2BF16AVX2(t *tile)

//go:noescape
func tile1BF16AVX2(t *tile)

//go:noescape
func elementBF16AVX2(t *tile)
