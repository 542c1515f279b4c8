package llm

import (
	"unsafe"

	"github.com/spotserve/spotserve/engine/kernel"
	"github.com/spotserve/spotserve/engine/model"
)

// matrix views a tensor of a blob. Blobs are little-endian, as are the machines
// that this runs on.
func matrix(t model.Tensor, blob []byte) kernel.Matrix {
	m := kernel.Matrix{Rows: t.Rows, Cols: t.Cols}
	b := blob[t.Offset : t.Offset+t.Bytes()]
	first := unsafe.Pointer(unsafe.SliceData(b))
	if t.DType == model.BF16 {
		m.BF16 = unsafe.Slice((*uint16)(first), t.Rows*t.Cols)
	} else {
		m.F32 = unsafe.Slice((*float32)(first), t.Rows*t.Cols)
	}
	return m
}

func aligned(b []byte) bool { return uintptr(unsafe.Pointer(unsafe.SliceData(b)))%4 == 0 }

// part is rows [from, to) of m.
func part(m kernel.Matrix, from, to int) kernel.Matrix {
	p := kernel.Matrix{Rows: to - from, Cols: m.Cols}
	if m.BF16 != nil {
		p.BF16 = m.BF16[from*m.Cols : to*m.Cols]
	} else {
		p.F32 = m.F32[from*m.Cols : to*m.Cols]
	}
	return p
}

// readRow copies a row of m to dst.
func readRow(dst []float32, m kernel.Matrix, row int) {
	if m.BF16 == nil {
		copy(dst, m.F32[row*m.Cols:(row+1)*m.Cols])
		return
	}
	for i, v := range m.BF16[row*m.Cols : (row+1)*m.Cols] {
		dst[i] = kernel.FromBF16(v)
	}
}
