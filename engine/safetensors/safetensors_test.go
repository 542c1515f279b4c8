package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/engine/internal/half"
	"github.com/spotserve/spotserve/engine/model"
)

func small() model.Config {
	return model.Config{
		Name: "small", Layers: 3, Hidden: 24, Heads: 8, KVHeads: 4, HeadDim: 6, FFN: 20, Vocab: 37, Context: 64,
		NormEps: 1e-5, Rope: model.Rope{Theta: 10000}, Leaves: 4, BOS: 1, EOS: []int{2, 5},
	}
}

func written(t *testing.T, c model.Config, files int) (string, model.Source) {
	t.Helper()
	s, err := model.Synthetic(c, 17)
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(t.TempDir(), "small")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Write(folder, s, files); err != nil {
		t.Fatal(err)
	}
	return folder, s
}

func sameWeights(t *testing.T, a, b model.Source) {
	t.Helper()
	for layer := range a.Config().Layers {
		for leaf := range a.Config().Leaves {
			id := model.BlobID{Layer: layer, Leaf: leaf}
			x, y := make([]byte, a.Config().BlobBytes(id)), make([]byte, b.Config().BlobBytes(id))
			if err := a.ReadBlob(id, x); err != nil {
				t.Fatal(err)
			}
			if err := b.ReadBlob(id, y); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(x, y) {
				t.Errorf("%v differs", id)
			}
		}
	}
}

func TestRoundTrip(t *testing.T) {
	scaled := model.Rope{Theta: 500000, Factor: 8, LowFreqFactor: 1, HighFreqFactor: 4, OriginalContext: 8192}
	for _, dtype := range []model.DType{model.F32, model.BF16} {
		for _, tied := range []bool{false, true} {
			for _, files := range []int{1, 2, 3} {
				c := small()
				c.DType, c.TiedHead = dtype, tied
				if tied {
					c.Rope, c.BOS, c.EOS = scaled, -1, nil
				}
				folder, want := written(t, c, files)
				got, err := Open(folder, model.ReadOptions{})
				if err != nil {
					t.Fatal(err)
				}
				if have := fmt.Sprintf("%+v", got.Config()); have != fmt.Sprintf("%+v", c) {
					t.Errorf("the shape comes back as %s, want %+v", have, c)
				}
				sameWeights(t, want, got)
				if err := got.Close(); err != nil {
					t.Error(err)
				}
			}
		}
	}
	if err := Write(t.TempDir(), mustSynthetic(t), 4); err == nil || !strings.Contains(err.Error(), "has 3 layers and cannot be written as 4 files") {
		t.Errorf("more files than layers: got %v", err)
	}
}

func mustSynthetic(t *testing.T) model.Source {
	t.Helper()
	s, err := model.Synthetic(small(), 1)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestBF16OnRequest(t *testing.T) {
	c := small()
	c.FFN = 5000 // rows that are read in several parts
	folder, _ := written(t, c, 1)
	got, err := Open(folder, model.ReadOptions{BF16: true})
	if err != nil {
		t.Fatal(err)
	}
	c.DType = model.BF16
	want, err := model.Synthetic(c, 17)
	if err != nil {
		t.Fatal(err)
	}
	if got.Config().DType != model.BF16 {
		t.Fatalf("elements are %v", got.Config().DType)
	}
	sameWeights(t, want, got)
}

// TestHalfElements replaces a matrix of a file by halves, by hand.
func TestHalfElements(t *testing.T) {
	folder, _ := written(t, small(), 1)
	edit(t, folder, func(entries map[string]any, data []byte) []byte {
		entry := entries["model.layers.1.mlp.up_proj.weight"].(map[string]any)
		from := int(entry["data_offsets"].([]any)[0].(float64))
		to := int(entry["data_offsets"].([]any)[1].(float64))
		halves := make([]byte, (to-from)/2)
		for i := range len(halves) / 2 {
			binary.LittleEndian.PutUint16(halves[2*i:], half.To(float32(i)/8))
		}
		for _, other := range entries {
			if offsets, ok := other.(map[string]any)["data_offsets"].([]any); ok {
				for i := range offsets {
					if offsets[i].(float64) >= float64(to) {
						offsets[i] = offsets[i].(float64) - float64(len(halves))
					}
				}
			}
		}
		entry["dtype"] = "F16"
		return slices.Concat(data[:from], halves, data[to:])
	})
	s, err := Open(folder, model.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	layer, err := model.Join(s, 1)
	if err != nil {
		t.Fatal(err)
	}
	for i, got := range layer[model.Up] {
		if got != float32(i)/8 {
			t.Fatalf("element %d is %g, want %g", i, got, float32(i)/8)
		}
	}
}

// edit changes a model.safetensors.
func edit(t *testing.T, folder string, change func(entries map[string]any, data []byte) []byte) {
	t.Helper()
	path := filepath.Join(folder, singleFile)
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	length := binary.LittleEndian.Uint64(file)
	var entries map[string]any
	if err := json.Unmarshal(file[8:8+length], &entries); err != nil {
		t.Fatal(err)
	}
	data := change(entries, file[8+length:])
	text, err := json.Marshal(entries)
	if err != nil {
		t.Fatal(err)
	}
	file = append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...)
	if err := os.WriteFile(path, append(file, data...), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestRefusesTensors(t *testing.T) {
	rename := func(from, to string) func(map[string]any, []byte) []byte {
		return func(entries map[string]any, data []byte) []byte {
			entries[to] = entries[from]
			delete(entries, from)
			return data
		}
	}
	set := func(name, key string, value any) func(map[string]any, []byte) []byte {
		return func(entries map[string]any, data []byte) []byte {
			entries[name].(map[string]any)[key] = value
			return data
		}
	}
	const up = "model.layers.0.mlp.up_proj.weight"
	for want, change := range map[string]func(map[string]any, []byte) []byte{
		`tensor "` + up + `" is missing`:                             rename(up, "x"),
		`is of type "I8"; supported are F32, F16 and BF16`:           set(up, "dtype", "I8"),
		`config.json asks for [20 24]`:                               set(up, "shape", []int{24, 20}),
		`elements of F32 are 2016 bytes long, data_offsets say 1920`: set(up, "shape", []int{21, 24}),
		`shape [4294967296 24] is more than a file can hold`:         set(up, "shape", []int64{1 << 32, 24}),
		`shape [-20 24] is more than a file can hold`:                set(up, "shape", []int{-20, 24}),
		`has 9 dimensions`:                                           set(up, "shape", make([]int, 9)),
		`data_offsets are [5], must be two`:                          set(up, "data_offsets", []int{5}),
		`data_offsets are [-8 1912]`:                                 set(up, "data_offsets", []int{-8, 1912}),
		`data_offsets are [0 9223372036854775807]`:                   set(up, "data_offsets", []int64{0, math.MaxInt64}),
		`of the data, the tensor before it ends at`:                  set(up, "data_offsets", []int{0, 1920}),
		`tensor "` + up + `": json: cannot unmarshal`:                set(up, "shape", "x"),
		`which has`: func(_ map[string]any, data []byte) []byte { return append(data, 0) },
		`belongs to no model that is supported`: func(entries map[string]any, data []byte) []byte {
			entries["model.layers.0.self_attn.q_proj.bias"] = map[string]any{"dtype": "F32", "shape": []int{1}, "data_offsets": []int{len(data), len(data) + 4}}
			return append(data, 0, 0, 0, 0)
		},
	} {
		folder, _ := written(t, small(), 1)
		edit(t, folder, change)
		if _, err := Open(folder, model.ReadOptions{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
