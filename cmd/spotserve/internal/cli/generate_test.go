package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/cmd/spotserve/internal/generate"
	"github.com/spotserve/spotserve/engine/gguf"
	"github.com/spotserve/spotserve/engine/model"
)

// speakingModel writes a GGUF file of a model with a tokenizer: bytes and
// lower-case letters.
func speakingModel(t *testing.T) (path string) {
	t.Helper()
	tokens, types, scores := []string{"<unk>", "<s>", "</s>"}, []int32{2, 3, 3}, []float32{0, 0, 0}
	for b := range 256 {
		tokens, types, scores = append(tokens, fmt.Sprintf("<0x%02X>", b)), append(types, 6), append(scores, 0)
	}
	for _, letter := range "\u2581abcdefghijklmnopqrstuvwxyz" {
		tokens, types, scores = append(tokens, string(letter)), append(types, 1), append(scores, -1)
	}
	source, err := model.Synthetic(model.Config{
		Name: "speaker", Layers: 2, Hidden: 32, Heads: 4, KVHeads: 2, HeadDim: 8, FFN: 48, Vocab: len(tokens), Context: 64, NormEps: 1e-5,
		Rope: model.Rope{Theta: 10_000}, Leaves: 2, BOS: -1,
	}, 7)
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "speaker.gguf")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	err = gguf.Write(f, source, gguf.F32,
		gguf.Entry{Key: "tokenizer.ggml.model", Value: "llama"}, gguf.Entry{Key: "tokenizer.ggml.tokens", Value: tokens},
		gguf.Entry{Key: "tokenizer.ggml.scores", Value: scores}, gguf.Entry{Key: "tokenizer.ggml.token_type", Value: types},
		gguf.Entry{Key: "tokenizer.ggml.bos_token_id", Value: uint32(1)}, gguf.Entry{Key: "tokenizer.ggml.eos_token_id", Value: uint32(2)},
	)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

// generated runs the command, which must succeed.
func generated(t *testing.T, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, said bytes.Buffer
	if code := Main(append([]string{"generate"}, args...), &out, &said); code != exitOK {
		t.Fatalf("%q: exit code %d, %s", args, code, said.String())
	}
	return out.String(), said.String()
}

// TestGenerateSpeaks: a text is answered by a text, as it is computed and as JSON,
// and by the same however the model is cut.
func TestGenerateSpeaks(t *testing.T) {
	path := speakingModel(t)
	args := []string{"--model", path, "--prompt", "hello", "--max-tokens", "12"}
	text, said := generated(t, args...)
	whole, _ := generated(t, append(slices.Clone(args), "--output", "json", "--tensor", "2", "--pipeline", "2", "--threads", "1")...)
	var a generate.Answer
	if err := json.Unmarshal([]byte(whole), &a); err != nil {
		t.Fatal(err)
	}
	if len(a.PromptTokens) != 7 || a.PromptTokens[0] != 1 { // <s>, a blank, five letters
		t.Errorf("the prompt is %v", a.PromptTokens)
	}
	if len(a.Tokens) != 12 && a.Ended != "stop" || string([]rune(text)) != a.Text+"\n" || a.Model != "speaker" {
		t.Errorf("it says %q, and as JSON %+v", text, a)
	}
	if !strings.Contains(said, "7 prompt tokens in ") {
		t.Errorf("it tells %q", said)
	}
}

func TestGenerateInNumbers(t *testing.T) {
	out, _ := generated(t, "--model", "synthetic:1", "--shape", "layers=1,hidden=16,heads=2,ffn=16,vocabulary=40,context=32", "--tokens", "1, 2,3", "-n", "5")
	if words := strings.Fields(out); len(words) != 5 {
		t.Errorf("it prints %q, want five numbers", out)
	}
}

func TestGenerateRefusals(t *testing.T) {
	for want, args := range map[string][]string{
		"--model is missing":                                 {},
		"want one of --prompt and --tokens":                  {"-m", "synthetic:1"},
		"--max-tokens 0: allowed are":                        {"-m", "synthetic:1", "--tokens", "1", "-n", "0"},
		"--temperature -1: allowed are 0 to 100":             {"-m", "synthetic:1", "--tokens", "1", "--temperature", "-1"},
		"--top-p 2: allowed are 0 to 1":                      {"-m", "synthetic:1", "--tokens", "1", "--top-p", "2"},
		"--top-k -1: allowed are":                            {"-m", "synthetic:1", "--tokens", "1", "--top-k", "-1"},
		"--threads -1: allowed are":                          {"-m", "synthetic:1", "--tokens", "1", "--threads", "-1"},
		"--tensor 0 and --pipeline 1: allowed are":           {"-m", "synthetic:1", "--tokens", "1", "--tensor", "0"},
		`--tokens "1,x": want numbers of tokens with commas`: {"-m", "synthetic:1", "--tokens", "1,x"},
		"spotserve generate takes 0 arguments, got 1":        {"hello"},
	} {
		var out, said bytes.Buffer
		if code := Main(append([]string{"generate"}, args...), &out, &said); code != exitUsage || !strings.Contains(said.String(), want) || out.Len() > 0 {
			t.Errorf("%q: exit code %d, %s, want %s", args, code, said.String(), want)
		}
	}
	var out, said bytes.Buffer
	if code := Main([]string{"generate", "-m", "synthetic:1", "-p", "hello"}, &out, &said); code != exitFailed || !strings.Contains(said.String(), "has no tokenizer") {
		t.Errorf("a text for a model without a tokenizer: exit code %d, %s", code, said.String())
	}
}

// TestProfileWritesAFile that an experiment takes.
func TestProfileWritesAFile(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "here.yaml")
	var out, said bytes.Buffer
	code := Main([]string{
		"profile", "--model", "synthetic:1", "--shape", "layers=2,hidden=16,heads=2,ffn=16,vocabulary=40,context=64", "--max-batch", "1", "--prompt-tokens", "8",
		"--memory-gb", "0.5", "--out", file,
	}, &out, &said)
	if code != exitOK || out.Len() > 0 || !strings.Contains(said.String(), "tensor degree 2, batch 1: prefill") {
		t.Fatalf("exit code %d, %s%s", code, out.String(), said.String())
	}
	experiment := filepath.Join(folder, "real.yaml")
	text := "name: real\ncompute: transformer\nmeasured: here.yaml\nmigration_buffer_gib: 0.01\nbatch_limit: 1\n" +
		"trace: {fixed: {instances: 2, end_s: 60}}\narrivals: {rate_rps: 0.5, prompt_tokens: 8, output_tokens: 8}\n"
	if err := os.WriteFile(experiment, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out.Reset()
	if code := Main([]string{"validate", experiment}, &out, &said); code != exitOK || !strings.Contains(out.String(), "experiment real is fine") {
		t.Errorf("exit code %d, %s%s", code, out.String(), said.String())
	}
	for want, args := range map[string][]string{
		"--model is missing":                         nil,
		"largest batch 3: allowed are powers of two": {"--model", "synthetic:1", "--max-batch", "3"},
	} {
		said.Reset()
		if code := Main(append([]string{"profile"}, args...), &out, &said); code == exitOK || !strings.Contains(said.String(), want) {
			t.Errorf("%q: exit code %d, %s, want %s", args, code, said.String(), want)
		}
	}
}

// TestPublishedModelsAnswerAlike: a bucket's weights are those that were put in.
func TestPublishedModelsAnswerAlike(t *testing.T) {
	path, url := speakingModel(t), "file://"+filepath.ToSlash(t.TempDir())
	var out, said bytes.Buffer
	if code := Main([]string{"publish", url, "--model", path}, &out, &said); code != exitOK || out.Len() > 0 || said.Len() == 0 {
		t.Fatalf("exit code %d, %s%s", code, out.String(), said.String())
	}
	args := []string{"--tokens", "1,2,3", "--max-tokens", "8", "--output", "json", "--model"}
	var from [2]generate.Answer
	for i, location := range []string{path, url} {
		text, _ := generated(t, append(slices.Clone(args), location)...)
		if err := json.Unmarshal([]byte(text), &from[i]); err != nil {
			t.Fatal(err)
		}
	}
	if len(from[0].Tokens) == 0 || !slices.Equal(from[0].Tokens, from[1].Tokens) {
		t.Errorf("the file answers %v, the bucket %v", from[0].Tokens, from[1].Tokens)
	}
	for want, args := range map[string][]string{
		"--model is missing":             {url},
		`bucket "/tmp/x" is no URL`:      {"/tmp/x", "--model", path},
		"spotserve publish takes 1 argu": {"--model", path},
	} {
		said.Reset()
		if code := Main(append([]string{"publish"}, args...), &out, &said); code != exitUsage || !strings.Contains(said.String(), want) {
			t.Errorf("%q: exit code %d, %s, want %s", args, code, said.String(), want)
		}
	}
}
