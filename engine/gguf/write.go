package gguf

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"github.com/spotserve/spotserve/engine/model"
)

// Entry is a key with its value: a string, bool, uint32, int32, float32, or a
// slice of strings, int32 or float32.
type Entry struct {
	Key   string
	Value any
}

// Write writes a model as GGUF version 3, matrices as elements of type t (norms
// stay F32), which other programs can run. Metadata that the model does not know,
// such as its vocabulary, comes as extra entries. One layer is in memory at a
// time.
func Write(out io.Writer, s model.Source, t Type, extra ...Entry) error {
	c := s.Config()
	if err := c.Validate(); err != nil {
		return err
	}
	e, known := elements[t]
	if !known {
		return fmt.Errorf("model %s: cannot write elements of %v; supported are %s", c.Name, t, supportedTypes)
	}
	entries, err := metadata(c)
	if err != nil {
		return err
	}
	entries = append(entries, extra...)
	w := &writer{out: bufio.NewWriterSize(out, 1<<20), config: c, kind: t}
	plan := w.plan()
	for _, p := range plan {
		if p.cols%e.block != 0 && p.kind == t {
			return fmt.Errorf("model %s: tensor %q has rows of %d elements, no whole number of %v blocks of %d", c.Name, p.name, p.cols, t, e.block)
		}
	}
	w.header(entries, plan)
	for layer := range c.Layers {
		matrices, err := model.Join(s, layer)
		if err != nil {
			return err
		}
		for _, p := range plan {
			switch {
			case p.layer != layer:
			case p.role == ropeRole:
				w.tensor(p, ropeDivisors(c))
			default:
				w.tensor(p, matrices[p.role])
			}
		}
	}
	if w.err == nil {
		w.err = w.out.Flush()
	}
	return w.err
}

func metadata(c model.Config) ([]Entry, error) {
	out := []Entry{
		{"general.architecture", arch},
		{"general.name", c.Name},
		{"llama.block_count", uint32(c.Layers)},
		{"llama.context_length", uint32(c.Context)},
		{"llama.embedding_length", uint32(c.Hidden)},
		{"llama.feed_forward_length", uint32(c.FFN)},
		{"llama.attention.head_count", uint32(c.Heads)},
		{"llama.attention.head_count_kv", uint32(c.KVHeads)},
		{"llama.attention.key_length", uint32(c.HeadDim)},
		{"llama.attention.value_length", uint32(c.HeadDim)},
		{"llama.attention.layer_norm_rms_epsilon", c.NormEps},
		{"llama.rope.dimension_count", uint32(c.HeadDim)},
		{"llama.rope.freq_base", float32(c.Rope.Theta)},
		{"llama.vocab_size", uint32(c.Vocab)},
	}
	if c.BOS >= 0 {
		out = append(out, Entry{"tokenizer.ggml.bos_token_id", uint32(c.BOS)})
	}
	names := []string{"eos", "eot", "eom"}
	if len(c.EOS) > len(names) {
		return nil, fmt.Errorf("model %s: GGUF has room for %d tokens that end an answer, not for %d", c.Name, len(names), len(c.EOS))
	}
	for i, id := range c.EOS {
		out = append(out, Entry{"tokenizer.ggml." + names[i] + "_token_id", uint32(id)})
	}
	return out, nil
}

// planned is a tensor to write.
type planned struct {
	name       string
	role       model.Role
	layer      int // with whose blobs it comes
	kind       Type
	rows, cols int64
}

// ropeRole marks the tensor of rotary divisors, which no blob holds.
const ropeRole = model.Head + 1

// plan lists the tensors in the order in which they are written.
func (w *writer) plan() []planned {
	c := w.config
	var out []planned
	if c.Rope.Factor != 0 {
		out = append(out, planned{ropeTensor, ropeRole, 0, F32, 1, int64(c.HeadDim / 2)})
	}
	for layer := range c.Layers {
		for role := model.Embedding; role <= model.Head; role++ {
			switch {
			case role == model.Embedding && layer > 0,
				(role == model.FinalNorm || role == model.Head) && layer < c.Layers-1,
				role == model.Head && c.TiedHead:
				continue
			}
			rows, cols := c.Shape(role)
			p := planned{tensorName(role, layer), role, layer, w.kind, int64(rows), int64(cols)}
			if rows == 1 {
				p.kind = F32
			}
			out = append(out, p)
		}
	}
	return out
}

// writer keeps the first error.
type writer struct {
	out    *bufio.Writer
	config model.Config
	kind   Type
	at     int64
	err    error
}

func (w *writer) write(p []byte) {
	if w.err == nil {
		var n int
		n, w.err = w.out.Write(p)
		w.at += int64(n)
	}
}

func (w *writer) uint32(v uint32) { w.write(binary.LittleEndian.AppendUint32(nil, v)) }
func (w *writer) uint64(v uint64) { w.write(binary.LittleEndian.AppendUint64(nil, v)) }

func (w *writer) text(s string) {
	w.uint64(uint64(len(s)))
	w.write([]byte(s))
}

func (w *writer) pad() {
	if over := w.at % defaultAlignment; over != 0 {
		w.write(make([]byte, defaultAlignment-over))
	}
}

func (w *writer) header(entries []Entry, plan []planned) {
	w.write([]byte(magic))
	w.uint32(3)
	w.uint64(uint64(len(plan)))
	w.uint64(uint64(len(entries)))
	for _, e := range entries {
		w.text(e.Key)
		w.entry(e)
	}
	offset := int64(0)
	for _, p := range plan {
		w.text(p.name)
		dims := []int64{p.cols, p.rows}
		if p.rows == 1 {
			dims = dims[:1]
		}
		w.uint32(uint32(len(dims)))
		for _, n := range dims {
			w.uint64(uint64(n))
		}
		w.uint32(uint32(p.kind))
		w.uint64(uint64(offset))
		layout := elements[p.kind]
		size := p.rows * (p.cols / layout.block * layout.bytes)
		offset += (size + defaultAlignment - 1) / defaultAlignment * defaultAlignment
	}
	w.pad()
}

func (w *writer) entry(e Entry) {
	array := func(t valueType, n int) {
		w.uint32(uint32(typeArray))
		w.uint32(uint32(t))
		w.uint64(uint64(n))
	}
	switch v := e.Value.(type) {
	case string:
		w.uint32(uint32(typeString))
		w.text(v)
	case bool:
		w.uint32(uint32(typeBool))
		if v {
			w.write([]byte{1})
		} else {
			w.write([]byte{0})
		}
	case uint32:
		w.uint32(uint32(typeUint32))
		w.uint32(v)
	case int32:
		w.uint32(uint32(typeInt32))
		w.uint32(uint32(v))
	case float32:
		w.uint32(uint32(typeFloat32))
		w.uint32(math.Float32bits(v))
	case []string:
		array(typeString, len(v))
		for _, s := range v {
			w.text(s)
		}
	case []int32:
		array(typeInt32, len(v))
		for _, n := range v {
			w.uint32(uint32(n))
		}
	case []float32:
		array(typeFloat32, len(v))
		for _, x := range v {
			w.uint32(math.Float32bits(x))
		}
	default:
		if w.err == nil {
			w.err = fmt.Errorf("key %q: a value of type %T cannot be written", e.Key, v)
		}
	}
}

func (w *writer) tensor(p planned, matrix []float32) {
	if p.role == model.Query || p.role == model.Key {
		matrix = interleave(matrix, int(p.cols), w.config.HeadDim)
	}
	layout := elements[p.kind]
	row := make([]byte, p.cols/layout.block*layout.bytes)
	for i := range p.rows {
		p.kind.encode(row, matrix[i*p.cols:(i+1)*p.cols])
		w.write(row)
	}
	w.pad()
}

// interleave permutes rows as the file has them: see interleaved.
func interleave(matrix []float32, cols, dim int) []float32 {
	out := make([]float32, len(matrix))
	for row := range len(matrix) / cols {
		to := interleaved(row, dim) * cols
		copy(out[to:to+cols], matrix[row*cols:])
	}
	return out
}
