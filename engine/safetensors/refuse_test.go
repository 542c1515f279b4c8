package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/engine/model"
)

// editJSON changes a JSON file of a model.
func editJSON(t *testing.T, path string, change func(map[string]any)) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var v map[string]any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	change(v)
	if err := writeJSON(path, v); err != nil {
		t.Fatal(err)
	}
}

// TestConfig: what config.json can say, and what is refused by name.
func TestConfig(t *testing.T) {
	set := func(pairs ...any) func(map[string]any) {
		return func(v map[string]any) {
			for i := 0; i < len(pairs); i += 2 {
				v[pairs[i].(string)] = pairs[i+1]
			}
		}
	}
	for want, change := range map[string]func(map[string]any){
		`model_type is "qwen2"; supported are ["llama" "mistral"]`:    set("model_type", "qwen2"),
		`biases are not supported`:                                    set("attention_bias", true),
		`mlp_bias is true: biases`:                                    set("mlp_bias", true),
		`hidden_act is "gelu"; supported is "silu"`:                   set("hidden_act", "gelu"),
		`partial_rotary_factor is 0.5`:                                set("partial_rotary_factor", 0.5),
		`quantised weights are not supported`:                         set("quantization_config", map[string]any{"bits": 4}),
		`scaled as "yarn"; supported are "default" and "llama3"`:      set("rope_scaling", map[string]any{"type": "yarn", "factor": 2}),
		`scaled as llama3 without a factor`:                           set("rope_parameters", map[string]any{"rope_type": "llama3"}),
		`low_freq_factor is 0`:                                        set("rope_scaling", map[string]any{"rope_type": "llama3", "factor": 8}),
		`layers is 0, must be 1 to`:                                   set("num_hidden_layers", 0),
		`heads is 0`:                                                  set("num_attention_heads", 0),
		`special token 99 is outside the vocabulary of 37`:            set("eos_token_id", 99),
		`config.json: json: cannot unmarshal string into Go struct f`: set("hidden_size", "24"),
		`tensor "model.layers.3.input_layernorm.weight" is missing`:   set("num_hidden_layers", 4),
		`belongs to no model that is supported`:                       set("num_hidden_layers", 2),
		`config.json asks for [38 24]`:                                set("vocab_size", 38),
	} {
		folder, _ := written(t, small(), 1)
		editJSON(t, filepath.Join(folder, "config.json"), change)
		if _, err := Open(folder, model.ReadOptions{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	for name, tt := range map[string]struct {
		change func(map[string]any)
		want   func(*model.Config)
	}{
		"mistral":            {set("model_type", "mistral", "sliding_window", nil), func(*model.Config) {}},
		"a window":           {set("sliding_window", 40), func(c *model.Config) { c.Context = 40 }},
		"a wider window":     {set("sliding_window", 4096), func(*model.Config) {}},
		"theta of new files": {set("rope_parameters", map[string]any{"rope_type": "default", "rope_theta": 5e5}), func(c *model.Config) { c.Rope.Theta = 5e5 }},
		"one end":            {set("eos_token_id", 7), func(c *model.Config) { c.EOS = []int{7} }},
		"no end":             {set("eos_token_id", nil), func(c *model.Config) { c.EOS = nil }},
		"no quantisation":    {set("quantization_config", nil, "rope_scaling", nil), func(*model.Config) {}},
	} {
		folder, _ := written(t, small(), 1)
		editJSON(t, filepath.Join(folder, "config.json"), tt.change)
		s, err := Open(folder, model.ReadOptions{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want := small()
		tt.want(&want)
		got := s.Config()
		if got.Context != want.Context || got.Rope != want.Rope || !slices.Equal(got.EOS, want.EOS) {
			t.Errorf("%s: the shape is %+v, want %+v", name, got, want)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	// Defaults of config.json, and the ends of answers of generation_config.json.
	folder, _ := written(t, small(), 1)
	editJSON(t, filepath.Join(folder, "config.json"), func(v map[string]any) { delete(v, "rope_theta"); delete(v, "hidden_act") })
	if err := writeJSON(filepath.Join(folder, "generation_config.json"), map[string]any{"eos_token_id": []int{5, 9}}); err != nil {
		t.Fatal(err)
	}
	s, err := Open(folder, model.ReadOptions{Leaves: 2})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Config(); got.Rope.Theta != 10000 || !slices.Equal(got.EOS, []int{2, 5, 9}) || got.Leaves != 2 {
		t.Errorf("the shape is %+v", got)
	}
}

func TestIndex(t *testing.T) {
	for want, change := range map[string]func(map[string]any){
		`must be a file of the same folder`:              func(v map[string]any) { v["x"] = "../../etc/passwd" },
		`"a/b.safetensors", must be a file of the same`:  func(v map[string]any) { v["x"] = "a/b.safetensors" },
		`"/dev/zero", must be a file of the same folder`: func(v map[string]any) { v["x"] = "/dev/zero" },
		`no such file`: func(v map[string]any) { v["x"] = "none.safetensors" },
		`tensor "x" is not in model-00001-of-00002.safe`:    func(v map[string]any) { v["x"] = "model-00001-of-00002.safetensors" },
		`tensor "model.norm.weight" is missing`:             func(v map[string]any) { delete(v, "model.norm.weight") },
		`names 0 files`:                                     func(v map[string]any) { clear(v) },
		`tensor "lm_head.weight" is not in model-00001-of-`: func(v map[string]any) { v["lm_head.weight"] = "model-00001-of-00002.safetensors" },
	} {
		folder, _ := written(t, small(), 2)
		editJSON(t, filepath.Join(folder, indexFile), func(v map[string]any) { change(v["weight_map"].(map[string]any)) })
		if _, err := Open(folder, model.ReadOptions{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none"), model.ReadOptions{}); err == nil {
		t.Error("a folder that is not there opens")
	}
	folder, _ := written(t, small(), 1)
	if err := os.Remove(filepath.Join(folder, singleFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(folder, model.ReadOptions{}); err == nil || !strings.Contains(err.Error(), singleFile) {
		t.Errorf("a folder without weights: got %v", err)
	}
}

// TestTruncated cuts a file off, before opening and while it is open.
func TestTruncated(t *testing.T) {
	folder, _ := written(t, small(), 1)
	path := filepath.Join(folder, singleFile)
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < len(file); n += 1 + n/64 {
		if _, err := readFile(bytes.NewReader(file[:n]), int64(n), "cut"); err == nil || !strings.HasPrefix(err.Error(), "cut: ") {
			t.Fatalf("cut off at byte %d: got %v", n, err)
		}
	}
	s, err := Open(folder, model.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 5000); err != nil {
		t.Fatal(err)
	}
	id := model.BlobID{Layer: 2}
	err = s.ReadBlob(id, make([]byte, s.Config().BlobBytes(id)))
	if err == nil || !strings.Contains(err.Error(), "model.safetensors: tensor") {
		t.Errorf("reading a file that was cut off: got %v", err)
	}
	huge := binary.LittleEndian.AppendUint64(nil, 1<<63)
	if _, err := readFile(bytes.NewReader(huge), 8, "huge"); err == nil || !strings.Contains(err.Error(), "the header is 9223372036854775808 bytes long") {
		t.Errorf("a header of 2^63 bytes: got %v", err)
	}
}

func FuzzReadFile(f *testing.F) {
	add := func(header string, data int) {
		f.Add(append(append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...), make([]byte, data)...))
	}
	add(`{"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"b":{"dtype":"BF16","shape":[],"data_offsets":[24,26]}}`, 26)
	add(`{"__metadata__":{"format":"pt"},"a":{"dtype":"I8","shape":[2],"data_offsets":[0,2]}}`, 2)
	add(`{}`, 0)
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := readFile(bytes.NewReader(data), int64(len(data)), "fuzzed")
		if err != nil {
			return
		}
		for _, tensor := range file.tensors {
			size := dtypes[tensor.dtype]
			for _, n := range tensor.shape {
				size *= n
			}
			if tensor.at < 8 || tensor.at+size > int64(len(data)) {
				t.Fatalf("tensor %q lies outside of the file: %d bytes from %d of %d", tensor.name, size, tensor.at, len(data))
			}
		}
	})
}
