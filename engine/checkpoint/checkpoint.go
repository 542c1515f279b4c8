// Package checkpoint opens a model by its location, as experiments, workers and
// the command line name it:
//
//	synthetic:SEED    weights that are made up from a seed, of a given shape
//	PATH.gguf         a GGUF file
//	PATH              a folder with config.json and safetensors
//	SCHEME://...      a bucket, see package bucket
package checkpoint

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/engine/gguf"
	"github.com/spotserve/spotserve/engine/model"
	"github.com/spotserve/spotserve/engine/safetensors"
	"github.com/spotserve/spotserve/engine/weights/bucket"
)

// Options say how a model is opened.
type Options struct {
	// Shape is that of synthetic weights. Of files it is what they have to be of;
	// the zero Config takes what they are.
	Shape model.Config
	// BF16 rounds matrices of files to bfloat16, see model.ReadOptions.
	BF16 bool
	// Leaves is into how many a file's layers are cut where Shape does not say; 0
	// is model.Config.DefaultLeaves. A bucket's layers are cut already.
	Leaves int
}

// Synthetic starts a location of weights that are made from a seed.
const Synthetic = "synthetic:"

// ErrShape says that a file is of another model than was asked for.
var ErrShape = errors.New("the model has another shape")

// Open opens the weights at a location. The caller closes them.
func Open(location string, o Options) (model.Source, error) {
	if seed, ok := strings.CutPrefix(location, Synthetic); ok {
		n, err := strconv.ParseUint(seed, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("model %q: the seed is no whole number", location)
		}
		return model.Synthetic(o.Shape, n)
	}
	var source model.Source
	var err error
	if strings.Contains(location, "://") {
		source, err = bucket.Open(context.Background(), location)
	} else {
		source, err = openFile(location, model.ReadOptions{Leaves: cmp.Or(o.Shape.Leaves, o.Leaves), BF16: o.BF16 || o.Shape.DType == model.BF16})
	}
	if err != nil {
		return nil, err
	}
	if err := matches(source.Config(), o.Shape); err != nil {
		return nil, errors.Join(fmt.Errorf("model %s: %w", location, err), source.Close())
	}
	return source, nil
}

func openFile(path string, o model.ReadOptions) (model.Source, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return safetensors.Open(path, o)
	case info.Mode().IsRegular() && strings.HasSuffix(strings.ToLower(path), ".gguf"):
		f, err := gguf.Open(path)
		if err != nil {
			return nil, err
		}
		source, err := f.Source(o)
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		return source, nil
	}
	return nil, fmt.Errorf("model %s: allowed are synthetic:SEED, files that end in .gguf, folders with safetensors, and URLs of buckets", path)
}

// matches requires the matrices of want; the zero Config wants nothing.
func matches(got, want model.Config) error {
	if want.Layers == 0 {
		return nil
	}
	var errs []error
	for _, d := range []struct {
		name      string
		got, want any
	}{
		{"layers", got.Layers, want.Layers}, {"hidden", got.Hidden, want.Hidden}, {"heads", got.Heads, want.Heads},
		{"kv_heads", got.KVHeads, want.KVHeads}, {"head_dim", got.HeadDim, want.HeadDim}, {"ffn", got.FFN, want.FFN},
		{"vocabulary", got.Vocab, want.Vocab}, {"norm_eps", got.NormEps, want.NormEps}, {"rotary positions", got.Rope, want.Rope},
		{"tied head", got.TiedHead, want.TiedHead}, {"elements", got.DType, want.DType}, {"leaves", got.Leaves, want.Leaves},
	} {
		if d.got != d.want {
			errs = append(errs, fmt.Errorf("%s %v, not %v", d.name, d.got, d.want))
		}
	}
	if want.Context > got.Context {
		errs = append(errs, fmt.Errorf("a context of %d tokens, not %d", got.Context, want.Context))
	}
	if len(errs) > 0 {
		return fmt.Errorf("%w than the experiment says: %w", ErrShape, errors.Join(errs...))
	}
	return nil
}

// Config is the shape of a model as an experiment names it.
func Config(name string, s experiment.Shape) (model.Config, error) {
	c := model.Config{
		Name: name, Layers: s.Layers, Hidden: s.Hidden, Heads: s.Heads, KVHeads: s.KVHeads, HeadDim: s.HeadDim, FFN: s.FFN,
		Vocab: s.Vocab, Context: s.Context, NormEps: float32(s.NormEps), Rope: model.Rope(s.Rope), TiedHead: s.TiedHead,
		Leaves: s.Leaves, BOS: int(s.BOS),
	}
	switch s.DType {
	case model.F32.String():
	case model.BF16.String():
		c.DType = model.BF16
	default:
		return c, fmt.Errorf("model %s: elements %q, allowed are %s and %s", name, s.DType, model.F32, model.BF16)
	}
	return c, c.Validate()
}

// Shape is what an experiment says of a model. Config is its inverse.
func Shape(c model.Config) experiment.Shape {
	return experiment.Shape{
		Layers: c.Layers, Hidden: c.Hidden, Heads: c.Heads, KVHeads: c.KVHeads, HeadDim: c.HeadDim, FFN: c.FFN, Vocab: c.Vocab,
		Context: c.Context, NormEps: shortest(c.NormEps), Rope: experiment.Rope(c.Rope), TiedHead: c.TiedHead, DType: c.DType.String(),
		Leaves: c.Leaves, BOS: int32(c.BOS),
	}
}

// shortest is the decimal number of fewest digits that stands for v: 1e-5, and
// not what a float32 makes of it.
func shortest(v float32) float64 {
	f, err := strconv.ParseFloat(strconv.FormatFloat(float64(v), 'g', -1, 32), 64)
	if err != nil { // no finite float32 is printed in a way that cannot be read
		return float64(v)
	}
	return f
}
