package weights

import (
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/spotserve/spotserve/engine/model"
)

// open opens what a command line names.
func open(t *testing.T, args ...string) (model.Config, error) {
	t.Helper()
	var f Flags
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	f.Add(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	s, err := f.Open()
	if err != nil {
		return model.Config{}, err
	}
	defer s.Close()
	return s.Config(), nil
}

func TestShapes(t *testing.T) {
	c, err := open(t, "--model", "synthetic:3")
	if err != nil || c.Layers != 8 || c.HeadDim != 32 || c.Leaves != 4 || c.DType != model.F32 || c.Context != 2048 {
		t.Errorf("the usual shape is %+v, %v", c, err)
	}
	c, err = open(t, "-m", "synthetic:3", "--leaves", "1", "--shape", "layers=1, hidden=8,heads=2,head_dim=6,vocabulary=9,context=5,rope_theta=1e6,tied=true,dtype=bf16")
	if err != nil || c.Layers != 1 || c.KVHeads != 2 || c.HeadDim != 6 || c.FFN != 32 || c.Vocab != 9 || c.Context != 5 || c.Rope.Theta != 1e6 ||
		!c.TiedHead || c.DType != model.BF16 || c.Leaves != 1 {
		t.Errorf("got %+v, %v", c, err)
	}
}

func TestModelsThatAreNone(t *testing.T) {
	for want, args := range map[string][]string{
		"--model is missing":                       {},
		`unknown key "layer"`:                      {"-m", "synthetic:1", "--shape", "layer=1"},
		"each key once":                            {"-m", "synthetic:1", "--shape", "layers=1,layers=2"},
		"want key=value":                           {"-m", "synthetic:1", "--shape", "big"},
		`hidden is "x", want a number`:             {"-m", "synthetic:1", "--shape", "hidden=x"},
		`dtype is "f64", allowed are f32 and bf16`: {"-m", "synthetic:1", "--shape", "dtype=f64"},
		"leaves":                     {"-m", "synthetic:1", "--leaves", "3"},
		"layers is 0":                {"-m", "synthetic:1", "--shape", "hidden=8"},
		"allowed are synthetic:SEED": {"-m", "weights.go"},
		`model "synthetic:": the seed is no whole number`: {"-m", "synthetic:"},
		"model none.gguf: open none.gguf: no such file":   {"-m", "none.gguf"},
		"head_dim 3 is odd": {"-m", "synthetic:1", "--shape", "layers=1,hidden=8,heads=2,head_dim=3,vocabulary=9"},
	} {
		if _, err := open(t, args...); err == nil || !strings.Contains(err.Error(), strings.TrimPrefix(want, "model none.gguf: open ")) {
			t.Errorf("%q is answered by %v, want %s", args, err, want)
		}
	}
}
