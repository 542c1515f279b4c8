package gguf

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/spotserve/spotserve/engine/model"
)

// Source returns the file's model: architecture "llama" (Llama 1 to 3, Mistral,
// and others that were converted to it) with matrices of F32, F16, BF16 or Q8_0.
// What the engine would compute otherwise than the file means is refused: other
// architectures, biases, experts, other types and other scalings of the rotary
// positions. Closing the Source closes the file.
func (f *File) Source(o model.ReadOptions) (model.Source, error) {
	w := &weights{file: f}
	if err := w.configure(o); err != nil {
		return nil, fmt.Errorf("%s: %w", f.name, err)
	}
	return model.Cut(w), nil
}

// weights are the tensors of a model by what they are for.
type weights struct {
	file    *File
	config  model.Config
	tensors model.Tensors[*Tensor]
	buffers sync.Pool // of *[]byte
}

func (w *weights) Config() model.Config { return w.config }
func (w *weights) Close() error         { return w.file.Close() }

func (w *weights) configure(o model.ReadOptions) error {
	c, err := w.file.shape()
	if err != nil {
		return err
	}
	c.Leaves = o.Leaves
	if c.Leaves == 0 {
		c.Leaves = c.DefaultLeaves()
	}
	if err := c.Validate(); err != nil {
		return err
	}
	w.config = c
	if err := w.find(); err != nil {
		return err
	}
	if err := w.scaling(); err != nil {
		return err
	}
	w.config.DType = model.BF16
	if !o.BF16 && !w.allBF16() {
		w.config.DType = model.F32
	}
	return nil
}

const arch = "llama"

// shape reads what the metadata says, without judging it.
func (f *File) shape() (model.Config, error) {
	r := keys{file: f}
	if got := r.text("general.architecture", ""); r.err == nil && got != arch {
		return model.Config{}, fmt.Errorf("general.architecture is %q; supported is %q (Llama, Mistral and their kin)", got, arch)
	}
	c := model.Config{
		Name:    r.text("general.name", strings.TrimSuffix(filepath.Base(f.name), ".gguf")),
		Layers:  r.integer("llama.block_count", required),
		Hidden:  r.integer("llama.embedding_length", required),
		Heads:   r.integer("llama.attention.head_count", required),
		FFN:     r.integer("llama.feed_forward_length", required),
		Context: r.integer("llama.context_length", required),
		NormEps: float32(r.number("llama.attention.layer_norm_rms_epsilon", 0)),
		Rope:    model.Rope{Theta: r.number("llama.rope.freq_base", 10000)},
		BOS:     r.integer("tokenizer.ggml.bos_token_id", -1),
	}
	c.KVHeads = r.integer("llama.attention.head_count_kv", c.Heads)
	if r.err == nil && c.Heads > 0 {
		c.HeadDim = c.Hidden / c.Heads
	}
	c.HeadDim = r.integer("llama.attention.key_length", c.HeadDim)
	for _, key := range []string{"llama.attention.value_length", "llama.rope.dimension_count"} {
		if n := r.integer(key, c.HeadDim); r.err == nil && n != c.HeadDim {
			return c, fmt.Errorf("%s is %d; supported is the width of a head, %d", key, n, c.HeadDim)
		}
	}
	for _, name := range []string{"eos", "eot", "eom"} {
		id := r.integer("tokenizer.ggml."+name+"_token_id", -1)
		if id >= 0 && !slices.Contains(c.EOS, id) {
			c.EOS = append(c.EOS, id)
		}
	}
	// Within its window, sliding attention is full attention.
	if window := r.integer("llama.attention.sliding_window", 0); window > 0 {
		c.Context = min(c.Context, window)
	}
	for _, key := range []string{"llama.expert_count", "llama.expert_used_count"} {
		if n := r.integer(key, 0); n != 0 {
			return c, fmt.Errorf("%s is %d: mixtures of experts are not supported", key, n)
		}
	}
	for _, key := range []string{"llama.logit_scale", "llama.embedding_scale", "llama.residual_scale", "llama.attention.scale"} {
		if v := r.number(key, 0); v != 0 {
			return c, fmt.Errorf("%s is %g: it is not supported", key, v)
		}
	}
	kind, factor := r.text("llama.rope.scaling.type", "linear"), r.number("llama.rope.scaling.factor", 1)
	factor = r.number("llama.rope.scale_linear", factor) // an older name
	if kind != "none" && factor != 1 && factor != 0 {
		return c, fmt.Errorf("llama.rope.scaling.type is %q with factor %g; supported are none, and Llama 3.1's by the tensor %q", kind, factor, ropeTensor)
	}
	if r.err != nil {
		return c, r.err
	}
	embedding := f.byName[wholeNames[model.Embedding]]
	if embedding == nil || len(embedding.Dims) != 2 {
		return c, fmt.Errorf("tensor %q is missing or no matrix", wholeNames[model.Embedding])
	}
	c.Vocab = int(embedding.Dims[1])
	c.TiedHead = f.byName[wholeNames[model.Head]] == nil
	tokens, _, err := Get[[]string](f, "tokenizer.ggml.tokens")
	if err == nil && len(tokens) > c.Vocab {
		err = fmt.Errorf("tokenizer.ggml.tokens has %d tokens, the embedding only %d rows", len(tokens), c.Vocab)
	}
	return c, err
}

// keys reads metadata; the first error stays.
type keys struct {
	file *File
	err  error
}

const required = math.MinInt

func (r *keys) integer(key string, otherwise int) int {
	v, ok := read[int64](r, key)
	switch {
	case ok && (v < math.MinInt32 || v > math.MaxInt32):
		r.fail(fmt.Errorf("key %q is %d, which no model has", key, v))
		return 0
	case ok:
		return int(v)
	case otherwise == required:
		r.fail(fmt.Errorf("key %q is missing", key))
		return 0
	}
	return otherwise
}

func (r *keys) number(key string, otherwise float64) float64 {
	if v, ok := read[float64](r, key); ok {
		return v
	}
	return otherwise
}

func (r *keys) text(key, otherwise string) string {
	if v, ok := read[string](r, key); ok && v != "" {
		return v
	}
	return otherwise
}

func read[T Value](r *keys, key string) (T, bool) {
	v, ok, err := Get[T](r.file, key)
	r.fail(err)
	return v, ok
}

func (r *keys) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

// Names of tensors.
var (
	wholeNames = map[model.Role]string{
		model.Embedding: "token_embd.weight", model.FinalNorm: "output_norm.weight", model.Head: "output.weight",
	}
	layerNames = map[model.Role]string{
		model.AttnNorm: "attn_norm.weight", model.Query: "attn_q.weight", model.Key: "attn_k.weight",
		model.Value: "attn_v.weight", model.Output: "attn_output.weight", model.FFNNorm: "ffn_norm.weight",
		model.Gate: "ffn_gate.weight", model.Up: "ffn_up.weight", model.Down: "ffn_down.weight",
	}
)

const ropeTensor = "rope_freqs.weight"

func tensorName(role model.Role, layer int) string {
	if role.Whole() {
		return wholeNames[role]
	}
	return fmt.Sprintf("blk.%d.%s", layer, layerNames[role])
}

// find looks every tensor of the model up, checks its shape and type, and refuses
// tensors that the engine would leave out.
func (w *weights) find() error {
	c := w.config
	used := map[string]bool{ropeTensor: true}
	get := func(role model.Role, layer int) (*Tensor, error) {
		name := tensorName(role, layer)
		used[name] = true
		t := w.file.byName[name]
		if t == nil {
			return nil, fmt.Errorf("tensor %q is missing", name)
		}
		rows, cols := c.Shape(role)
		want := []int64{int64(cols), int64(rows)}
		if rows == 1 {
			want = want[:1]
		}
		if !slices.Equal(t.Dims, want) {
			return nil, fmt.Errorf("tensor %q is %v, the model's shape asks for %v (innermost first)", name, t.Dims, want)
		}
		if _, known := elements[t.Type]; !known {
			return nil, fmt.Errorf("tensor %q is %v; supported are %s", name, t.Type, supportedTypes)
		}
		return t, nil
	}
	var err error
	if w.tensors, err = model.FindTensors(c, get); err != nil {
		return err
	}
	for _, t := range w.file.Tensors {
		if !used[t.Name] {
			return fmt.Errorf("tensor %q belongs to no model that is supported (no biases, experts or adapters)", t.Name)
		}
	}
	return nil
}

func (w *weights) allBF16() bool {
	for _, t := range w.file.Tensors {
		if len(t.Dims) > 1 && t.Type != BF16 {
			return false
		}
	}
	return true
}

// scaling understands the tensor of divisors of the rotary frequencies. It holds
// the results of Llama 3.1's scaling, not its parameters, of which only the
// factor differs between the published models.
func (w *weights) scaling() error {
	t := w.file.byName[ropeTensor]
	if t == nil {
		return nil
	}
	half := w.config.HeadDim / 2
	if !slices.Equal(t.Dims, []int64{int64(half)}) || t.Type != F32 {
		return fmt.Errorf("tensor %q is %v of %v, must be [%d] of F32", ropeTensor, t.Dims, t.Type, half)
	}
	divisors := make([]float32, half)
	if err := w.read(t, 0, 0, divisors); err != nil {
		return err
	}
	scaled := w.config.Rope
	scaled.Factor = float64(slices.Max(divisors))
	scaled.LowFreqFactor, scaled.HighFreqFactor, scaled.OriginalContext = 1, 4, 8192
	config := w.config
	config.Rope = scaled
	err := config.Validate()
	if err == nil {
		for i, want := range ropeDivisors(config) {
			if !(math.Abs(float64(divisors[i]/want)-1) < 1e-4) {
				err = fmt.Errorf("divisor %d is %g, want %g", i, divisors[i], want)
				break
			}
		}
	}
	if err != nil {
		return fmt.Errorf("tensor %q is not Llama 3.1's scaling (low 1, high 4, original context 8192): %w", ropeTensor, err)
	}
	if scaled.Factor != 1 {
		w.config.Rope = scaled
	}
	return nil
}

// ropeDivisors is what a model's frequencies are divided by.
func ropeDivisors(c model.Config) []float32 {
	plain := model.Rope{Theta: c.Rope.Theta}.Frequencies(c.HeadDim)
	out := make([]float32, len(plain))
	for i, f := range c.Rope.Frequencies(c.HeadDim) {
		out[i] = float32(plain[i] / f)
	}
	return out
}

// ReadRow reads a part of a row of a whole matrix.
func (w *weights) ReadRow(role model.Role, layer, row, col int, dst []byte) error {
	t := w.tensors.Of(role, layer)
	if role == model.Query || role == model.Key {
		row = interleaved(row, w.config.HeadDim)
	}
	as := w.config.ElementType(role)
	if (t.Type == F32 && as == model.F32) || (t.Type == BF16 && as == model.BF16) {
		return w.readAt(t, row, int64(col), dst)
	}
	var buffer [1024]float32
	for len(dst) > 0 {
		part := buffer[:min(len(buffer), len(dst)/as.Bytes())]
		if err := w.read(t, row, col, part); err != nil {
			return err
		}
		model.Encode(dst, part, as)
		dst, col = dst[len(part)*as.Bytes():], col+len(part)
	}
	return nil
}

// interleaved is where a file has a row of a query or key matrix. The engine
// rotates element i of a head with i + dim/2; GGUF has rows permuted so that
// partners are neighbours.
func interleaved(row, dim int) int {
	head, i := row/dim*dim, row%dim
	if i < dim/2 {
		return head + 2*i
	}
	return head + 2*(i-dim/2) + 1
}

// read reads elements of any type.
func (w *weights) read(t *Tensor, row, col int, dst []float32) error {
	e := elements[t.Type]
	from, to := int64(col)/e.block, (int64(col+len(dst))+e.block-1)/e.block
	buffer, _ := w.buffers.Get().(*[]byte)
	if buffer == nil {
		buffer = new([]byte)
	}
	defer w.buffers.Put(buffer)
	n := int((to - from) * e.bytes)
	*buffer = slices.Grow((*buffer)[:0], n)[:n]
	if err := w.readAt(t, row, from, *buffer); err != nil {
		return err
	}
	t.Type.decode(dst, *buffer, col-int(from*e.block))
	return nil
}

// readAt reads a row's bytes from a block on.
func (w *weights) readAt(t *Tensor, row int, block int64, dst []byte) error {
	e := elements[t.Type]
	at := t.Offset + (int64(row)*(t.Dims[0]/e.block)+block)*e.bytes
	if got, err := w.file.data.ReadAt(dst, at); got < len(dst) {
		return fmt.Errorf("%s: tensor %q, row %d: %d bytes at byte %d: %w", w.file.name, t.Name, row, len(dst), at, err)
	}
	return nil
}
