package safetensors

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/spotserve/spotserve/engine/internal/half"
	"github.com/spotserve/spotserve/engine/model"
)

const (
	singleFile = "model.safetensors"
	indexFile  = "model.safetensors.index.json"
	maxFiles   = 4096
)

// Open opens the model in a folder: config.json beside model.safetensors, or
// beside model.safetensors.index.json and the files that it names. Supported are
// the model types llama and mistral, with elements of F32, F16 or BF16. What the
// engine would compute otherwise than the files mean is refused.
func Open(folder string, o model.ReadOptions) (model.Source, error) {
	c, err := configure(folder)
	if err != nil {
		return nil, err
	}
	c.Leaves = o.Leaves
	if c.Leaves == 0 {
		c.Leaves = c.DefaultLeaves()
	}
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("%s: %w", folder, err)
	}
	w := &weights{config: c}
	tensors, err := w.open(folder)
	if err == nil {
		err = w.find(tensors, o)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", folder, err), w.Close())
	}
	return model.Cut(w), nil
}

// weights are the tensors of a model by what they are for.
type weights struct {
	config  model.Config
	files   []*file
	tensors model.Tensors[*tensor]
	buffers sync.Pool // of *[]byte
}

func (w *weights) Config() model.Config { return w.config }

func (w *weights) Close() error {
	var errs []error
	for _, f := range w.files {
		errs = append(errs, f.closer.Close())
	}
	return errors.Join(errs...)
}

// open opens all files and returns the tensors that they should have.
func (w *weights) open(folder string) (map[string]*tensor, error) {
	path := filepath.Join(folder, indexFile)
	var index struct {
		Files map[string]string `json:"weight_map"`
	}
	err := readJSON(path, &index)
	if errors.Is(err, os.ErrNotExist) {
		f, err := openFile(filepath.Join(folder, singleFile))
		if err != nil {
			return nil, err
		}
		w.files = append(w.files, f)
		return f.tensors, nil
	}
	if err != nil {
		return nil, err
	}
	names := slices.Compact(slices.Sorted(maps.Values(index.Files)))
	if len(names) == 0 || len(names) > maxFiles {
		return nil, fmt.Errorf("%s names %d files, must be 1 to %d", indexFile, len(names), maxFiles)
	}
	byName := map[string]*file{}
	for _, name := range names {
		if !filepath.IsLocal(name) || filepath.Base(name) != name {
			return nil, fmt.Errorf("%s names %s, must be a file of the same folder", indexFile, quote(name))
		}
		f, err := openFile(filepath.Join(folder, name))
		if err != nil {
			return nil, err
		}
		w.files = append(w.files, f)
		byName[name] = f
	}
	tensors := map[string]*tensor{}
	for _, name := range slices.Sorted(maps.Keys(index.Files)) {
		t := byName[index.Files[name]].tensors[name]
		if t == nil {
			return nil, fmt.Errorf("tensor %s is not in %s, where %s says that it is", quote(name), index.Files[name], indexFile)
		}
		tensors[name] = t
	}
	return tensors, nil
}

// Names of tensors.
var (
	wholeNames = map[model.Role]string{
		model.Embedding: "model.embed_tokens.weight", model.FinalNorm: "model.norm.weight", model.Head: "lm_head.weight",
	}
	layerNames = map[model.Role]string{
		model.AttnNorm: "input_layernorm.weight", model.Query: "self_attn.q_proj.weight", model.Key: "self_attn.k_proj.weight",
		model.Value: "self_attn.v_proj.weight", model.Output: "self_attn.o_proj.weight", model.FFNNorm: "post_attention_layernorm.weight",
		model.Gate: "mlp.gate_proj.weight", model.Up: "mlp.up_proj.weight", model.Down: "mlp.down_proj.weight",
	}
)

func tensorName(role model.Role, layer int) string {
	if role.Whole() {
		return wholeNames[role]
	}
	return fmt.Sprintf("model.layers.%d.%s", layer, layerNames[role])
}

// find looks every tensor of the model up, checks its shape and type, and refuses
// tensors that the engine would leave out.
func (w *weights) find(tensors map[string]*tensor, o model.ReadOptions) error {
	c := w.config
	used := map[string]bool{}
	w.config.DType = model.BF16
	get := func(role model.Role, layer int) (*tensor, error) {
		name := tensorName(role, layer)
		used[name] = true
		t := tensors[name]
		if t == nil {
			return nil, fmt.Errorf("tensor %q is missing", name)
		}
		rows, cols := c.Shape(role)
		want := []int64{int64(rows), int64(cols)}
		if rows == 1 && len(t.shape) == 1 {
			want = want[1:]
		}
		if !slices.Equal(t.shape, want) {
			return nil, fmt.Errorf("tensor %q is %v, config.json asks for %v", name, t.shape, want)
		}
		if dtypes[t.dtype] == 0 {
			return nil, fmt.Errorf("tensor %q is of type %s; supported are %s", name, quote(t.dtype), supportedTypes)
		}
		if rows > 1 && t.dtype != "BF16" && !o.BF16 {
			w.config.DType = model.F32
		}
		return t, nil
	}
	if c.TiedHead {
		used[tensorName(model.Head, 0)] = true // some files have it all the same
	}
	var err error
	if w.tensors, err = model.FindTensors(c, get); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(tensors)) {
		// Older files keep the rotary frequencies, which follow from config.json.
		if !used[name] && !strings.HasSuffix(name, ".rotary_emb.inv_freq") {
			return fmt.Errorf("tensor %s belongs to no model that is supported (no biases, experts or adapters)", quote(name))
		}
	}
	return nil
}

// ReadRow reads a part of a row of a whole matrix.
func (w *weights) ReadRow(role model.Role, layer, row, col int, dst []byte) error {
	t := w.tensors.Of(role, layer)
	as := w.config.ElementType(role)
	if (t.dtype == "F32" && as == model.F32) || (t.dtype == "BF16" && as == model.BF16) {
		return t.readAt(row, col, dst)
	}
	buffer, _ := w.buffers.Get().(*[]byte)
	if buffer == nil {
		buffer = new([]byte)
	}
	defer w.buffers.Put(buffer)
	n := len(dst) / as.Bytes() * int(dtypes[t.dtype])
	*buffer = slices.Grow((*buffer)[:0], n)[:n]
	if err := t.readAt(row, col, *buffer); err != nil {
		return err
	}
	var wide [1024]float32
	for src := *buffer; len(dst) > 0; {
		part := wide[:min(len(wide), len(dst)/as.Bytes())]
		t.decode(part, src)
		model.Encode(dst, part, as)
		src, dst = src[len(part)*int(dtypes[t.dtype]):], dst[len(part)*as.Bytes():]
	}
	return nil
}

// readAt reads a row's bytes from an element on.
func (t *tensor) readAt(row, col int, dst []byte) error {
	at := t.at + (int64(row)*t.shape[len(t.shape)-1]+int64(col))*dtypes[t.dtype]
	if err := readAt(t.file.data, dst, at); err != nil {
		return fmt.Errorf("%s: tensor %q, row %d: %d bytes at byte %d: %w", t.file.name, t.name, row, len(dst), at, err)
	}
	return nil
}

func (t *tensor) decode(dst []float32, src []byte) {
	switch t.dtype {
	case "F32":
		model.Decode(dst, src, model.F32)
	case "BF16":
		model.Decode(dst, src, model.BF16)
	default:
		for i := range dst {
			dst[i] = half.From(binary.LittleEndian.Uint16(src[2*i:]))
		}
	}
}
