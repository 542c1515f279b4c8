package model

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Rows are the weights of a model that is not cut: the whole matrix of each
// role, read by row. Layer is 0 for the embedding, the final norm and the head,
// of which a model has one. With a tied head, the head is never asked for.
//
// Readers of checkpoints implement it; Cut makes a Source of it, so that all of
// them cut alike. It must be safe for concurrent use.
type Rows interface {
	Config() Config
	// ReadRow fills dst, which is a whole number of elements of the role's type
	// (ElementType), with the elements of a row from col on.
	ReadRow(role Role, layer, row, col int, dst []byte) error
	Close() error
}

// Shape is the size of the whole matrix of a role.
func (c Config) Shape(role Role) (rows, cols int) {
	switch role {
	case Embedding, Head:
		return c.Vocab, c.Hidden
	case AttnNorm, FFNNorm, FinalNorm:
		return 1, c.Hidden
	case Query:
		return c.Heads * c.HeadDim, c.Hidden
	case Key, Value:
		return c.KVHeads * c.HeadDim, c.Hidden
	case Output:
		return c.Hidden, c.Heads * c.HeadDim
	case Gate, Up:
		return c.FFN, c.Hidden
	default: // Down
		return c.Hidden, c.FFN
	}
}

// ElementType is how a role's elements lie in a blob: norms are F32.
func (c Config) ElementType(role Role) DType {
	if rows, _ := c.Shape(role); rows == 1 {
		return F32
	}
	return c.DType
}

// Origin is where the first element of a leaf's tensor lies in the whole matrix.
func (c Config) Origin(role Role, leaf int) (row, col int) {
	switch role {
	case Embedding, Head:
		from, _ := c.VocabRange(leaf)
		return from, 0
	case AttnNorm, FFNNorm, FinalNorm:
		return 0, 0
	}
	rows, cols := c.Shape(role)
	if role == Output || role == Down {
		return 0, cols / c.Leaves * leaf
	}
	return rows / c.Leaves * leaf, 0
}

// Whole says that a model has one matrix of this role, not one a layer.
func (r Role) Whole() bool { return r == Embedding || r == FinalNorm || r == Head }

// Cut makes blobs of whole matrices. It is safe for concurrent use.
func Cut(r Rows) Source { return cut{r} }

type cut struct{ Rows }

func (s cut) ReadBlob(id BlobID, dst []byte) error {
	c := s.Config()
	if err := c.checkBlob(id, len(dst)); err != nil {
		return err
	}
	end := int64(0)
	for _, t := range c.Tensors(id) {
		clear(dst[end:t.Offset]) // padding is part of a blob's checksum
		role, layer := t.Role, id.Layer
		if role == Head && c.TiedHead {
			role = Embedding
		}
		if role.Whole() {
			layer = 0
		}
		row, col := c.Origin(t.Role, id.Leaf)
		out, size := dst[t.Offset:t.Offset+t.Bytes()], t.Cols*t.DType.Bytes()
		for i := range t.Rows {
			if err := s.ReadRow(role, layer, row+i, col, out[i*size:(i+1)*size]); err != nil {
				return fmt.Errorf("%v: %w", id, err)
			}
		}
		end = t.Offset + t.Bytes()
	}
	clear(dst[end:])
	return nil
}

// checkBlob says whether there is such a blob, and whether room is right for it.
func (c Config) checkBlob(id BlobID, room int) error {
	if id.Layer < 0 || id.Layer >= c.Layers || id.Leaf < 0 || id.Leaf >= c.Leaves {
		return fmt.Errorf("model %s has no %v: it has %d layers of %d leaves", c.Name, id, c.Layers, c.Leaves)
	}
	if want := c.BlobBytes(id); int64(room) != want {
		return fmt.Errorf("model %s: %v is %d bytes long, got room for %d", c.Name, id, want, room)
	}
	return nil
}

// Encode writes src to dst as little-endian elements of type t; dst is as long as
// these are. BF16 rounds to nearest, ties to even.
func Encode(dst []byte, src []float32, t DType) {
	if t == BF16 {
		for i, v := range src {
			binary.LittleEndian.PutUint16(dst[2*i:], roundBF16(v))
		}
		return
	}
	for i, v := range src {
		binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(v))
	}
}

// Decode reads len(dst) little-endian elements of type t from src.
func Decode(dst []float32, src []byte, t DType) {
	if t == BF16 {
		for i := range dst {
			dst[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(src[2*i:])) << 16)
		}
		return
	}
	for i := range dst {
		dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))
	}
}

func roundBF16(v float32) uint16 {
	u := math.Float32bits(v)
	if v != v { // rounding could turn a NaN into an infinity
		return uint16(u>>16) | 0x40
	}
	return uint16((u + 0x7fff + u>>16&1) >> 16)
}
