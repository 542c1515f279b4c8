// Package weights is how commands name a model: by the location of its weights,
// and by its shape where those are made from a seed.
package weights

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/spotserve/spotserve/core/engineop"
	"github.com/spotserve/spotserve/engine/checkpoint"
	"github.com/spotserve/spotserve/engine/model"
	"github.com/spotserve/spotserve/engine/tokenizer"
)

// Allowed is what the location of weights may be.
const Allowed = "the path of a .gguf file or of a folder with safetensors, the URL of a bucket, or synthetic:SEED"

// ErrMissing says that no model is named.
var ErrMissing = errors.New("--model is missing: allowed is " + Allowed)

// Flags name a model.
type Flags struct {
	Location string
	shape    string
	leaves   int
	bf16     bool
}

// usualShape is that of synthetic weights where nobody says it.
const usualShape = "layers=8,hidden=256,heads=8,kv_heads=4,ffn=704,vocabulary=4096"

// Add adds the flags.
func (f *Flags) Add(fs *pflag.FlagSet) {
	fs.StringVarP(&f.Location, "model", "m", "", "weights: "+Allowed)
	fs.StringVar(&f.shape, "shape", usualShape, "shape of synthetic weights: "+strings.Join(keys, ", "))
	fs.IntVar(&f.leaves, "leaves", 0, "parts to cut a layer into, the largest tensor degree: a power of two (default: the largest up to 8)")
	fs.BoolVar(&f.bf16, "bf16", false, "round the matrices of a file to bfloat16")
}

// Open opens the model. The caller closes it.
func (f *Flags) Open() (model.Source, error) {
	if f.Location == "" {
		return nil, ErrMissing
	}
	o := checkpoint.Options{BF16: f.bf16, Leaves: f.leaves}
	if strings.HasPrefix(f.Location, checkpoint.Synthetic) {
		shape, err := parse(f.shape)
		if err != nil {
			return nil, fmt.Errorf("--shape %q: %w", f.shape, err)
		}
		if shape.Leaves = f.leaves; f.leaves == 0 {
			shape.Leaves = shape.DefaultLeaves()
		}
		o.Shape = shape
	}
	return checkpoint.Open(f.Location, o)
}

// Tokenizer is that of the model; nil where it has none.
func (f *Flags) Tokenizer() (engineop.Tokenizer, error) {
	if strings.HasPrefix(f.Location, checkpoint.Synthetic) || strings.Contains(f.Location, "://") {
		return nil, nil
	}
	t, err := tokenizer.Open(f.Location)
	switch {
	case errors.Is(err, tokenizer.ErrNone):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return tokenizer.Prompts{Tokenizer: t}, nil
}

// keys are what a shape is made of.
var keys = []string{"layers", "hidden", "heads", "kv_heads", "head_dim", "ffn", "vocabulary", "context", "rope_theta", "tied", "dtype"}

// parse reads a shape, key=value with commas between. What is left out follows
// from the rest, or is usual.
func parse(text string) (model.Config, error) {
	c := model.Config{Name: "synthetic", Context: 2048, NormEps: 1e-5, Rope: model.Rope{Theta: 10_000}, Leaves: 1, BOS: -1}
	numbers := map[string]*int{
		"layers": &c.Layers, "hidden": &c.Hidden, "heads": &c.Heads, "kv_heads": &c.KVHeads, "head_dim": &c.HeadDim, "ffn": &c.FFN,
		"vocabulary": &c.Vocab, "context": &c.Context,
	}
	seen := make(map[string]bool)
	for part := range strings.SplitSeq(text, ",") {
		key, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		if !ok || seen[key] {
			return c, fmt.Errorf("want key=value with commas between, each key once; keys are %s", strings.Join(keys, ", "))
		}
		seen[key] = true
		var err error
		switch number := numbers[key]; {
		case number != nil:
			*number, err = strconv.Atoi(value)
		case key == "rope_theta":
			c.Rope.Theta, err = strconv.ParseFloat(value, 64)
		case key == "tied":
			c.TiedHead, err = strconv.ParseBool(value)
		case key == "dtype" && value == model.BF16.String():
			c.DType = model.BF16
		case key == "dtype" && value == model.F32.String():
		case key == "dtype":
			return c, fmt.Errorf("dtype is %q, allowed are %s and %s", value, model.F32, model.BF16)
		default:
			return c, fmt.Errorf("unknown key %q, allowed are %s", key, strings.Join(keys, ", "))
		}
		if err != nil {
			return c, fmt.Errorf("%s is %q, want a number", key, value)
		}
	}
	if c.KVHeads == 0 {
		c.KVHeads = c.Heads
	}
	if c.HeadDim == 0 && c.Heads > 0 {
		c.HeadDim = c.Hidden / c.Heads
	}
	if c.FFN == 0 {
		c.FFN = 4 * c.Hidden
	}
	return c, c.Validate()
}
