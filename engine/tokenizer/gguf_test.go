package tokenizer_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/engine/gguf"
	"github.com/spotserve/spotserve/engine/model"
	"github.com/spotserve/spotserve/engine/tokenizer"
)

var keep = flag.String("gguf", "", "write the GGUF files of the vocabularies into this folder, for llama.cpp")

// vocabularyFile is a tokenizer.json as far as GGUF has it, or sentencepiece.json.
type vocabularyFile struct {
	Pieces []string
	Types  []int32
	Scores []float32
	Added  []struct {
		ID      int
		Content string
		Special bool
	} `json:"added_tokens"`
	Model struct {
		Vocab  map[string]int
		Merges json.RawMessage
	}
}

func readVocabulary(t testing.TB, name string) vocabularyFile {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var v vocabularyFile
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// entries are the metadata of a vocabulary in GGUF.
func (v vocabularyFile) entries(t testing.TB, pre string) []gguf.Entry {
	t.Helper()
	if pre == "" {
		return []gguf.Entry{
			{Key: "tokenizer.ggml.model", Value: "llama"}, {Key: "tokenizer.ggml.tokens", Value: v.Pieces},
			{Key: "tokenizer.ggml.scores", Value: v.Scores}, {Key: "tokenizer.ggml.token_type", Value: v.Types},
			{Key: "tokenizer.ggml.bos_token_id", Value: uint32(1)}, {Key: "tokenizer.ggml.eos_token_id", Value: uint32(2)},
		}
	}
	size := len(v.Model.Vocab) + len(v.Added)
	tokens, types := make([]string, size), make([]int32, size)
	for piece, id := range v.Model.Vocab {
		tokens[id], types[id] = piece, 1
	}
	for _, a := range v.Added {
		tokens[a.ID], types[a.ID] = a.Content, 4
		if a.Special {
			types[a.ID] = 3
		}
	}
	var merges []string
	if err := json.Unmarshal(v.Model.Merges, &merges); err != nil {
		var pairs [][]string
		if err := json.Unmarshal(v.Model.Merges, &pairs); err != nil {
			t.Fatal(err)
		}
		merges = merges[:0]
		for _, p := range pairs {
			merges = append(merges, strings.Join(p, " "))
		}
	}
	return []gguf.Entry{
		{Key: "tokenizer.ggml.model", Value: "gpt2"}, {Key: "tokenizer.ggml.pre", Value: pre},
		{Key: "tokenizer.ggml.tokens", Value: tokens}, {Key: "tokenizer.ggml.token_type", Value: types},
		{Key: "tokenizer.ggml.merges", Value: merges},
		{Key: "tokenizer.ggml.bos_token_id", Value: uint32(len(v.Model.Vocab))}, // the first added one
		{Key: "tokenizer.ggml.eos_token_id", Value: uint32(len(v.Model.Vocab) + 1)},
	}
}

func ggufBytes(t testing.TB, entries []gguf.Entry) []byte {
	t.Helper()
	vocab := 16
	for _, e := range entries {
		if tokens, ok := e.Value.([]string); ok && e.Key == "tokenizer.ggml.tokens" {
			vocab = len(tokens)
		}
	}
	source, err := model.Synthetic(model.Config{
		Name: "vocabulary", Layers: 1, Hidden: 8, Heads: 2, KVHeads: 1, HeadDim: 4, FFN: 8, Vocab: vocab, Context: 64,
		NormEps: 1e-5, Rope: model.Rope{Theta: 10000}, Leaves: 1, BOS: -1,
	}, 1)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := gguf.Write(&out, source, gguf.F32, entries...); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func fromGGUF(t testing.TB, data []byte) (*tokenizer.Tokenizer, error) {
	t.Helper()
	f, err := gguf.Read(bytes.NewReader(data), int64(len(data)), "vocabulary.gguf")
	if err != nil {
		t.Fatal(err)
	}
	return tokenizer.FromGGUF(f)
}

// ggufs are the vocabularies as GGUF has them, by the name of its splitting; ""
// is SentencePiece.
var ggufs = map[string]string{
	"": "sentencepiece", "llama-bpe": "llama3", "gpt-2": "gpt2", "qwen2": "qwen2", "smollm": "smollm",
}

// TestGGUF compares with llama.cpp.
func TestGGUF(t *testing.T) {
	want := readGolden(t, "llamacpp.json")
	for pre, name := range ggufs {
		data := ggufBytes(t, readVocabulary(t, name).entries(t, pre))
		if *keep != "" {
			if err := os.WriteFile(filepath.Join(*keep, name+".gguf"), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		k, err := fromGGUF(t, data)
		if err != nil {
			t.Fatal(err)
		}
		if len(want[name]) == 0 {
			t.Errorf("%s: llama.cpp says nothing", name)
		}
		for _, g := range want[name] {
			ids := k.Encode(g.Text, tokenizer.Options{Special: true})
			if !slices.Equal(ids, g.IDs) {
				t.Errorf("%s: %q becomes %v, want %v", name, g.Text, ids, g.IDs)
			}
			checkStream(t, k, ids)
		}
		begin := k.Encode("", tokenizer.Options{Begin: true})
		switch begins := name == "sentencepiece" || name == "llama3"; {
		case begins && len(begin) != 1, !begins && len(begin) != 0:
			t.Errorf("%s: a sequence begins with %v", name, begin)
		}
	}
}
