// Command independent writes the models and prompts of vectors.json: NAME.gguf
// and NAME.json for each case into a folder. See README.md.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spotserve/spotserve/core/draw"
	"github.com/spotserve/spotserve/engine/gguf"
	"github.com/spotserve/spotserve/engine/model"
)

// Case is a model and what it is asked.
type Case struct {
	Name     string
	Config   model.Config
	Seed     uint64
	Generate int
	Prompts  [][]int
}

func cases() []Case {
	config := func(layers, hidden, heads, kv, dim, ffn, vocab, leaves int) model.Config {
		return model.Config{
			Layers: layers, Hidden: hidden, Heads: heads, KVHeads: kv, HeadDim: dim, FFN: ffn, Vocab: vocab, Context: 512,
			NormEps: 1e-5, Rope: model.Rope{Theta: 10000}, Leaves: leaves, BOS: -1,
		}
	}
	list := []Case{
		{Name: "mha", Seed: 1, Config: config(2, 32, 4, 4, 8, 48, 263, 4)},
		{Name: "mha-tied", Seed: 2, Config: config(3, 64, 4, 4, 16, 160, 271, 4)},
		{Name: "gqa2", Seed: 3, Config: config(4, 64, 8, 4, 8, 172, 1003, 4)},
		{Name: "gqa4-tied-bf16", Seed: 4, Config: config(4, 96, 8, 2, 12, 250, 509, 2)},
		{Name: "mqa", Seed: 5, Config: config(2, 80, 5, 1, 16, 111, 277, 1)},
		{Name: "wide-heads", Seed: 6, Config: config(3, 40, 4, 2, 32, 92, 307, 2)},
		{Name: "llama31", Seed: 7, Config: config(3, 128, 4, 2, 64, 344, 777, 2)},
		{Name: "gqa3-bf16", Seed: 8, Config: config(12, 192, 12, 4, 16, 512, 2000, 4)},
	}
	list[1].Config.TiedHead = true
	list[3].Config.TiedHead, list[3].Config.DType = true, model.BF16
	list[5].Config.NormEps = 1e-6
	list[6].Config.Rope = model.Rope{Theta: 500000, Factor: 8, LowFreqFactor: 1, HighFreqFactor: 4, OriginalContext: 8192}
	list[7].Config.DType = model.BF16
	for i := range list {
		c := &list[i]
		c.Config.Name, c.Generate = c.Name, 40
		random := draw.Stream(c.Seed, "prompts of "+c.Name)
		for _, length := range []int{1, 7, 33, 100} {
			prompt := make([]int, length)
			for j := range prompt {
				prompt[j] = random.IntN(c.Config.Vocab)
			}
			c.Prompts = append(c.Prompts, prompt)
		}
	}
	return list
}

func write(folder string, c Case) error {
	source, err := model.Synthetic(c.Config, c.Seed)
	if err != nil {
		return err
	}
	file, err := os.Create(filepath.Join(folder, c.Name+".gguf"))
	if err != nil {
		return err
	}
	// llama.cpp does not run without a vocabulary that has the bytes.
	names, kinds := make([]string, c.Config.Vocab), make([]int32, c.Config.Vocab)
	for i := range names {
		names[i], kinds[i] = fmt.Sprintf("token%d", i), 1
		if i >= 3 && i < 3+256 {
			names[i], kinds[i] = fmt.Sprintf("<0x%02X>", i-3), 6
		}
	}
	// F32 also for bf16 weights, which it holds exactly: llama.cpp would round
	// activations to the type of the weights.
	err = gguf.Write(file, source, gguf.F32,
		gguf.Entry{Key: "tokenizer.ggml.model", Value: "llama"},
		gguf.Entry{Key: "tokenizer.ggml.tokens", Value: names},
		gguf.Entry{Key: "tokenizer.ggml.scores", Value: make([]float32, c.Config.Vocab)},
		gguf.Entry{Key: "tokenizer.ggml.token_type", Value: kinds})
	if err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, c.Name+".json"), text, 0o600)
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: independent FOLDER")
		os.Exit(2)
	}
	for _, c := range cases() {
		if err := write(os.Args[1], c); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}
