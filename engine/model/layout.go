package model

import "fmt"

// BlobID names the weights of one leaf of one layer: what a device holds, loads
// and sends as a whole. The embedding's leaf is part of layer 0, the final
// norm's and the head's of the last layer, so that blobs are exactly the cells
// of a migration plan.
type BlobID struct {
	Layer int
	Leaf  int
}

func (id BlobID) String() string { return fmt.Sprintf("layer %d leaf %d", id.Layer, id.Leaf) }

// Role is what a tensor of a blob is for.
type Role uint8

// The tensors of a blob, each row-major [rows][columns]. A leaf has the rows of
// its heads or its block of the feed-forward network; of O and Down it has its
// block of columns. Norm vectors are in every leaf.
const (
	Embedding Role = iota // [VocabRange][Hidden]; layer 0 only
	AttnNorm              // [1][Hidden]
	Query                 // [Heads/G*HeadDim][Hidden]
	Key                   // [KVHeads/G*HeadDim][Hidden]
	Value                 // [KVHeads/G*HeadDim][Hidden]
	Output                // [Hidden][Heads/G*HeadDim]
	FFNNorm               // [1][Hidden]
	Gate                  // [FFN/G][Hidden]
	Up                    // [FFN/G][Hidden]
	Down                  // [Hidden][FFN/G]
	FinalNorm             // [1][Hidden]; last layer only
	Head                  // [VocabRange][Hidden]; last layer only
)

var roleNames = [...]string{
	"embedding", "attention norm", "query", "key", "value", "output", "ffn norm", "gate", "up", "down", "final norm", "head",
}

func (r Role) String() string { return roleNames[r] }

// Tensor is where a tensor lies in its blob.
type Tensor struct {
	Role   Role
	Rows   int
	Cols   int
	DType  DType
	Offset int64 // in bytes; a multiple of Alignment
}

// Bytes is the tensor's size.
func (t Tensor) Bytes() int64 { return int64(t.Rows) * int64(t.Cols) * int64(t.DType.Bytes()) }

// Alignment of tensors in a blob, in bytes: a cache line.
const Alignment = 64

// Tensors lists the tensors of a blob in the order of their offsets. Elements
// are little-endian.
func (c Config) Tensors(id BlobID) []Tensor {
	from, to := c.VocabRange(id.Leaf)
	q, kv, ffn := c.Heads/c.Leaves*c.HeadDim, c.KVHeads/c.Leaves*c.HeadDim, c.FFN/c.Leaves
	var out []Tensor
	var end int64
	add := func(role Role, rows, cols int, t DType) {
		x := Tensor{Role: role, Rows: rows, Cols: cols, DType: t, Offset: end}
		end = (end + x.Bytes() + Alignment - 1) / Alignment * Alignment
		out = append(out, x)
	}
	if id.Layer == 0 {
		add(Embedding, to-from, c.Hidden, c.DType)
	}
	add(AttnNorm, 1, c.Hidden, F32)
	add(Query, q, c.Hidden, c.DType)
	add(Key, kv, c.Hidden, c.DType)
	add(Value, kv, c.Hidden, c.DType)
	add(Output, c.Hidden, q, c.DType)
	add(FFNNorm, 1, c.Hidden, F32)
	add(Gate, ffn, c.Hidden, c.DType)
	add(Up, ffn, c.Hidden, c.DType)
	add(Down, c.Hidden, ffn, c.DType)
	if id.Layer == c.Layers-1 {
		add(FinalNorm, 1, c.Hidden, F32)
		add(Head, to-from, c.Hidden, c.DType)
	}
	return out
}

// BlobBytes is the size of a blob.
func (c Config) BlobBytes(id BlobID) int64 {
	tensors := c.Tensors(id)
	last := tensors[len(tensors)-1]
	return (last.Offset + last.Bytes() + Alignment - 1) / Alignment * Alignment
}

// WeightBytes is the size of all blobs.
func (c Config) WeightBytes() int64 {
	var n int64
	for layer := range c.Layers {
		for leaf := range c.Leaves {
			n += c.BlobBytes(BlobID{layer, leaf})
		}
	}
	return n
}

// Source is where weights come from: a file, a seed.
type Source interface {
	Config() Config
	// ReadBlob fills dst, which is BlobBytes(id) long.
	ReadBlob(id BlobID, dst []byte) error
	Close() error
}
