package safetensors

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spotserve/spotserve/engine/model"
)

// Write writes a model into a folder, which has to exist, as config.json and the
// given number of .safetensors files (with an index, if there are several), each
// of which holds consecutive layers. Matrices are of the model's own element type,
// norms of F32. One layer is in memory at a time.
func Write(folder string, s model.Source, files int) error {
	c := s.Config()
	if err := c.Validate(); err != nil {
		return err
	}
	if files < 1 || files > c.Layers {
		return fmt.Errorf("model %s has %d layers and cannot be written as %d files", c.Name, c.Layers, files)
	}
	if err := writeJSON(filepath.Join(folder, "config.json"), describe(c)); err != nil {
		return err
	}
	index := map[string]string{}
	for i := range files {
		name := singleFile
		if files > 1 {
			name = fmt.Sprintf("model-%05d-of-%05d.safetensors", i+1, files)
		}
		plan := plan(c, c.Layers*i/files, c.Layers*(i+1)/files)
		for _, p := range plan {
			index[p.name] = name
		}
		if err := writeFile(filepath.Join(folder, name), s, plan); err != nil {
			return err
		}
	}
	if files == 1 {
		return nil
	}
	return writeJSON(filepath.Join(folder, indexFile), map[string]any{
		"metadata": map[string]any{}, "weight_map": index,
	})
}

// describe is config.json.
func describe(c model.Config) map[string]any {
	out := map[string]any{
		"model_type": "llama", "architectures": []string{"LlamaForCausalLM"}, "hidden_act": "silu",
		"hidden_size": c.Hidden, "intermediate_size": c.FFN, "num_hidden_layers": c.Layers,
		"num_attention_heads": c.Heads, "num_key_value_heads": c.KVHeads, "head_dim": c.HeadDim,
		"vocab_size": c.Vocab, "max_position_embeddings": c.Context, "rms_norm_eps": c.NormEps,
		"rope_theta": c.Rope.Theta, "tie_word_embeddings": c.TiedHead,
		"torch_dtype": map[model.DType]string{model.F32: "float32", model.BF16: "bfloat16"}[c.DType],
	}
	if c.Rope.Factor != 0 {
		out["rope_scaling"] = map[string]any{
			"rope_type": "llama3", "factor": c.Rope.Factor, "low_freq_factor": c.Rope.LowFreqFactor,
			"high_freq_factor": c.Rope.HighFreqFactor, "original_max_position_embeddings": c.Rope.OriginalContext,
		}
	}
	if c.BOS >= 0 {
		out["bos_token_id"] = c.BOS
	}
	if len(c.EOS) > 0 {
		out["eos_token_id"] = c.EOS
	}
	return out
}

func writeJSON(path string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

// planned is a tensor to write.
type planned struct {
	name  string
	role  model.Role
	layer int // with whose blobs it comes
	dtype model.DType
	shape []int
}

// plan lists the tensors of the layers [from, to).
func plan(c model.Config, from, to int) []planned {
	var out []planned
	for layer := from; layer < to; layer++ {
		for role := model.Embedding; role <= model.Head; role++ {
			switch {
			case role == model.Embedding && layer > 0,
				(role == model.FinalNorm || role == model.Head) && layer < c.Layers-1,
				role == model.Head && c.TiedHead:
				continue
			}
			rows, cols := c.Shape(role)
			p := planned{tensorName(role, layer), role, layer, c.DType, []int{rows, cols}}
			if rows == 1 {
				p.dtype, p.shape = model.F32, p.shape[1:]
			}
			out = append(out, p)
		}
	}
	return out
}

func (p planned) bytes() int64 {
	n := int64(p.dtype.Bytes())
	for _, d := range p.shape {
		n *= int64(d)
	}
	return n
}

func header(plan []planned) ([]byte, error) {
	entries := map[string]any{"__metadata__": map[string]string{"format": "pt"}}
	at := int64(0)
	for _, p := range plan {
		entries[p.name] = map[string]any{
			"dtype": map[model.DType]string{model.F32: "F32", model.BF16: "BF16"}[p.dtype],
			"shape": p.shape, "data_offsets": []int64{at, at + p.bytes()},
		}
		at += p.bytes()
	}
	text, err := json.Marshal(entries)
	if over := len(text) % 8; over != 0 { // so that the data is aligned
		text = append(text, bytes.Repeat([]byte{' '}, 8-over)...)
	}
	return append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...), err
}

func writeFile(path string, s model.Source, plan []planned) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	out := bufio.NewWriterSize(f, 1<<20)
	text, err := header(plan)
	if err != nil {
		return err
	}
	if _, err := out.Write(text); err != nil {
		return err
	}
	var matrices model.Layer
	layer := -1
	for _, p := range plan {
		if p.layer != layer {
			layer = p.layer
			if matrices, err = model.Join(s, layer); err != nil {
				return err
			}
		}
		data := make([]byte, p.bytes())
		model.Encode(data, matrices[p.role], p.dtype)
		if _, err := out.Write(data); err != nil {
			return err
		}
	}
	return out.Flush()
}
