package gguf_test

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/engine/gguf"
	"github.com/spotserve/spotserve/engine/model"
)

func small() model.Config {
	return model.Config{
		Name: "small", Layers: 2, Hidden: 32, Heads: 8, KVHeads: 4, HeadDim: 8, FFN: 64, Vocab: 37, Context: 64,
		NormEps: 1e-5, Rope: model.Rope{Theta: 10000}, Leaves: 4, BOS: 1, EOS: []int{2, 5},
	}
}

func synthetic(t testing.TB, c model.Config) model.Source {
	t.Helper()
	s, err := model.Synthetic(c, 11)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func written(t testing.TB, s model.Source, kind gguf.Type, extra ...gguf.Entry) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := gguf.Write(&out, s, kind, extra...); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func opened(t testing.TB, data []byte, o model.ReadOptions) model.Source {
	t.Helper()
	f, err := gguf.Read(bytes.NewReader(data), int64(len(data)), "test.gguf")
	if err != nil {
		t.Fatal(err)
	}
	s, err := f.Source(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// worst is the largest difference between two models, relative to the largest
// element of its row of a matrix.
func worst(t testing.TB, a, b model.Source) float64 {
	t.Helper()
	most := 0.0
	for layer := range a.Config().Layers {
		x, err := model.Join(a, layer)
		if err != nil {
			t.Fatal(err)
		}
		y, err := model.Join(b, layer)
		if err != nil {
			t.Fatal(err)
		}
		for role := range x {
			if len(x[role]) != len(y[role]) {
				t.Fatalf("layer %d, %v: %d elements and %d", layer, model.Role(role), len(x[role]), len(y[role]))
			}
			scale := 0.0
			for i := range x[role] {
				scale = max(scale, math.Abs(float64(x[role][i])))
			}
			for i := range x[role] {
				most = max(most, math.Abs(float64(x[role][i])-float64(y[role][i]))/scale)
			}
		}
	}
	return most
}

// TestRoundTrip writes and reads every type, tied and not, cut in every way. What
// the type can hold comes back bit by bit.
func TestRoundTrip(t *testing.T) {
	for _, tt := range []struct {
		dtype    model.DType
		kind     gguf.Type
		want     model.DType
		tolerate float64
	}{
		{model.F32, gguf.F32, model.F32, 0},
		{model.BF16, gguf.BF16, model.BF16, 0},
		{model.BF16, gguf.F32, model.F32, 0},
		{model.F32, gguf.BF16, model.BF16, 1.0 / 256},
		{model.F32, gguf.F16, model.F32, 1.0 / 2048},
		{model.F32, gguf.Q8_0, model.F32, 1.0 / 250},
	} {
		for _, tied := range []bool{false, true} {
			c := small()
			c.TiedHead, c.DType = tied, tt.dtype
			if tied {
				c.FFN = 2112 // rows that are read in several parts
			}
			source := synthetic(t, c)
			data := written(t, source, tt.kind)
			for _, leaves := range []int{0, 1, 2, 4} {
				got := opened(t, data, model.ReadOptions{Leaves: leaves})
				want := c
				want.DType, want.Leaves = tt.want, leaves
				if leaves == 0 {
					want.Leaves = 4
				}
				if have := fmt.Sprintf("%+v", got.Config()); have != fmt.Sprintf("%+v", want) {
					t.Errorf("%v: the shape comes back as %s, want %+v", tt.kind, have, want)
				}
				if off := worst(t, source, got); off > tt.tolerate {
					t.Errorf("%v as %v, tied %v, %d leaves: an element is off by %g of the largest, at most %g is allowed", tt.dtype, tt.kind, tied, leaves, off, tt.tolerate)
				}
			}
		}
	}
}

func TestBF16OnRequest(t *testing.T) {
	c := small()
	data := written(t, synthetic(t, c), gguf.F32)
	got := opened(t, data, model.ReadOptions{BF16: true})
	c.DType = model.BF16
	if off := worst(t, synthetic(t, c), got); got.Config().DType != model.BF16 || off != 0 {
		t.Errorf("elements are %v and off by %g, want bf16 rounded as the seed's are", got.Config().DType, off)
	}
}

// TestScaledRotaryPositions: Llama 3.1's scaling comes back from its results.
func TestScaledRotaryPositions(t *testing.T) {
	for _, factor := range []float64{8, 32} {
		c := small()
		c.HeadDim = 64
		c.Rope = model.Rope{Theta: 500000, Factor: factor, LowFreqFactor: 1, HighFreqFactor: 4, OriginalContext: 8192}
		got := opened(t, written(t, synthetic(t, c), gguf.F32), model.ReadOptions{}).Config().Rope
		if got != c.Rope {
			t.Errorf("%+v comes back as %+v", c.Rope, got)
		}
	}
	c := small()
	c.HeadDim = 64
	c.Rope = model.Rope{Theta: 500000, Factor: 8, LowFreqFactor: 2, HighFreqFactor: 4, OriginalContext: 8192}
	data := written(t, synthetic(t, c), gguf.F32)
	f, err := gguf.Read(bytes.NewReader(data), int64(len(data)), "x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Source(model.ReadOptions{}); err == nil || !strings.Contains(err.Error(), "is not Llama 3.1's scaling") {
		t.Errorf("another scaling: got %v", err)
	}
}

func TestOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tiny.gguf")
	c := small()
	c.Name = ""
	c.EOS = nil
	c.BOS = -1
	tokens := []string{"a", "b"}
	scores := []float32{0.5, -1}
	types := []int32{1, 6}
	data := written(t, synthetic(t, c), gguf.F32,
		gguf.Entry{Key: "tokenizer.ggml.tokens", Value: tokens},
		gguf.Entry{Key: "tokenizer.ggml.scores", Value: scores},
		gguf.Entry{Key: "tokenizer.ggml.token_type", Value: types},
		gguf.Entry{Key: "tokenizer.ggml.add_bos_token", Value: true},
		gguf.Entry{Key: "an.int", Value: int32(-3)})
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, ok, err := gguf.Get[[]string](f, "tokenizer.ggml.tokens"); !ok || err != nil || !slices.Equal(got, tokens) {
		t.Errorf("tokens are %v, %v, %v", got, ok, err)
	}
	if got, ok, err := gguf.Get[[]float64](f, "tokenizer.ggml.scores"); !ok || err != nil || !slices.Equal(got, []float64{0.5, -1}) {
		t.Errorf("scores are %v, %v, %v", got, ok, err)
	}
	if got, ok, err := gguf.Get[[]int64](f, "tokenizer.ggml.token_type"); !ok || err != nil || !slices.Equal(got, []int64{1, 6}) {
		t.Errorf("types are %v, %v, %v", got, ok, err)
	}
	if got, ok, err := gguf.Get[bool](f, "tokenizer.ggml.add_bos_token"); !ok || err != nil || !got {
		t.Errorf("add_bos_token is %v, %v, %v", got, ok, err)
	}
	if got, ok, err := gguf.Get[int64](f, "an.int"); !ok || err != nil || got != -3 {
		t.Errorf("an.int is %v, %v, %v", got, ok, err)
	}
	if _, ok, err := gguf.Get[string](f, "not.there"); ok || err != nil {
		t.Errorf("a missing key is there (%v) or an error: %v", ok, err)
	}
	if _, _, err := gguf.Get[string](f, "an.int"); err == nil || !strings.Contains(err.Error(), `key "an.int" is of type int64, want string`) {
		t.Errorf("a key of another type: got %v", err)
	}
	s, err := f.Source(model.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Config().Name; got != "tiny" {
		t.Errorf("a model without a name is %q, want that of its file, tiny", got)
	}
	// What is cut off after opening is an error, not a crash.
	if err := os.Truncate(path, int64(len(data)/2)); err != nil {
		t.Fatal(err)
	}
	id := model.BlobID{Layer: c.Layers - 1}
	err = s.ReadBlob(id, make([]byte, s.Config().BlobBytes(id)))
	if err == nil || !strings.Contains(err.Error(), "tiny.gguf: tensor") {
		t.Errorf("reading a file that was cut off: got %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := gguf.Open(path + ".none"); err == nil {
		t.Error("a file that is not there opens")
	}
	if _, err := gguf.Open(path); err == nil || !strings.Contains(err.Error(), "the whole file has") {
		t.Errorf("a file that was cut off: got %v", err)
	}
}

func TestWriteRefuses(t *testing.T) {
	c := small()
	c.EOS = []int{1, 2, 3, 4}
	many := synthetic(t, c)
	c = small()
	c.Hidden = 24
	odd := synthetic(t, c)
	for want, write := range map[string]func() error{
		"cannot write elements of Q4_K; supported are F32": func() error { return gguf.Write(&bytes.Buffer{}, odd, 12) },
		"no whole number of Q8_0 blocks of 32":             func() error { return gguf.Write(&bytes.Buffer{}, odd, gguf.Q8_0) },
		"room for 3 tokens that end an answer":             func() error { return gguf.Write(&bytes.Buffer{}, many, gguf.F32) },
		"a value of type int cannot be written": func() error {
			return gguf.Write(&bytes.Buffer{}, odd, gguf.F32, gguf.Entry{Key: "x", Value: 1})
		},
	} {
		if err := write(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
