package generate_test

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/cmd/spotserve/internal/generate"
	"github.com/spotserve/spotserve/engine/llm"
	"github.com/spotserve/spotserve/engine/model"
)

func tiny(t *testing.T, change func(*model.Config)) model.Source {
	t.Helper()
	c := model.Config{
		Name: "tiny", Layers: 4, Hidden: 32, Heads: 8, KVHeads: 4, HeadDim: 4, FFN: 48, Vocab: 200, Context: 400, NormEps: 1e-5,
		Rope: model.Rope{Theta: 10_000}, Leaves: 4, BOS: -1,
	}
	if change != nil {
		change(&c)
	}
	s, err := model.Synthetic(c, 7)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// letters is a tokenizer: one token a byte.
type letters struct{}

func (letters) Encode(text string) (tokens []int32, err error) {
	for _, b := range []byte(text) {
		tokens = append(tokens, int32(b%200))
	}
	return tokens, nil
}

func (letters) Decode(tokens []int32) string {
	var b strings.Builder
	for _, t := range tokens {
		b.WriteByte('a' + byte(t%26))
	}
	return b.String()
}

func counted(n int) []int32 {
	out := make([]int32, n)
	for i := range out {
		out[i] = int32(i * 7 % 200)
	}
	return out
}

func run(t *testing.T, o generate.Options) generate.Answer {
	t.Helper()
	a, err := generate.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestTheCutDoesNotMatter, nor do threads, for a prompt of several chunks, greedy
// and drawn.
func TestTheCutDoesNotMatter(t *testing.T) {
	for _, sampling := range []llm.Sampling{{}, {Temperature: 1, TopK: 50, TopP: 0.9, Seed: 3}} {
		o := generate.Options{Model: tiny(t, nil), Tokens: counted(300), MaxTokens: 20, Sampling: sampling, Threads: 1}
		want := run(t, o)
		if len(want.Tokens) != 20 || want.Ended != "length" || want.Model != "tiny" || want.DecodeTS <= 0 || want.PrefillTS <= 0 {
			t.Errorf("got %+v", want)
		}
		for _, cut := range [][3]int{{2, 1, 1}, {1, 4, 1}, {4, 2, 2}, {2, 2, 0}} {
			o.Tensor, o.Pipeline, o.Threads = cut[0], cut[1], cut[2]
			if got := run(t, o); !slices.Equal(got.Tokens, want.Tokens) {
				t.Errorf("cut into %v, the answer is %v, not %v", cut, got.Tokens, want.Tokens)
			}
		}
	}
}

func TestAnswersEnd(t *testing.T) {
	whole := run(t, generate.Options{Model: tiny(t, nil), Tokens: counted(9), MaxTokens: 30})
	stop := whole.Tokens[3]
	first := slices.Index(whole.Tokens, stop)
	stopping := tiny(t, func(c *model.Config) { c.EOS = []int{int(stop)} })
	if a := run(t, generate.Options{Model: stopping, Tokens: counted(9), MaxTokens: 30}); a.Ended != "stop" || !slices.Equal(a.Tokens, whole.Tokens[:first+1]) {
		t.Errorf("with the token %d to stop at, the answer is %+v", stop, a)
	}
	short := tiny(t, func(c *model.Config) { c.Context = 20 })
	if a := run(t, generate.Options{Model: short, Tokens: counted(9), MaxTokens: 30}); a.Ended != "context" || !slices.Equal(a.Tokens, whole.Tokens[:11]) {
		t.Errorf("in a context of 20 tokens the answer is %+v", a)
	}
	if a := run(t, generate.Options{Model: short, Tokens: counted(19), MaxTokens: 30}); a.Ended != "context" || len(a.Tokens) != 1 {
		t.Errorf("with one place in the context the answer is %+v", a)
	}
}

// TestTextIsSaidPieceByPiece, and adds up to the whole.
func TestTextIsSaidPieceByPiece(t *testing.T) {
	var said strings.Builder
	var tokens []int32
	a := run(t, generate.Options{Model: tiny(t, nil), Tokenizer: letters{}, Prompt: "hello", MaxTokens: 12, Said: func(token int32, text string) {
		said.WriteString(text)
		tokens = append(tokens, token)
	}})
	if said.String() != a.Text || len(a.Text) != 12 || !slices.Equal(tokens, a.Tokens) || len(a.PromptTokens) != 5 {
		t.Errorf("said %q and %v, of %+v", said.String(), tokens, a)
	}
}

func TestWhatCannotBeAnswered(t *testing.T) {
	for want, o := range map[string]generate.Options{
		"model tiny has no tokenizer":               {Prompt: "hello"},
		"the prompt is empty":                       {Tokenizer: letters{}},
		"the prompt has 400 tokens, and model tiny": {Tokens: counted(400)},
		"token":                              {Tokens: []int32{200}},
		"tensor-parallel degree 8":           {Tokens: counted(3), Tensor: 8},
		"5 stages of 1 layers leave stage 4": {Tokens: counted(3), Pipeline: 5},
		"temperature is -1, must be 0 (greedy) or more": {Tokens: counted(3), Sampling: llm.Sampling{Temperature: -1}},
	} {
		o.Model, o.MaxTokens = tiny(t, nil), 4
		if _, err := generate.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v is answered by %v, want %q", o, err, want)
		}
	}
}

// TestAnInterruptedAnswerIsKept as far as it got.
func TestAnInterruptedAnswerIsKept(t *testing.T) {
	whole := run(t, generate.Options{Model: tiny(t, nil), Tokens: counted(9), MaxTokens: 30})
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	a, err := generate.Run(ctx, generate.Options{Model: tiny(t, nil), Tokens: counted(9), MaxTokens: 30, Said: func(int32, string) {
		if n++; n == 5 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) || !reflect.DeepEqual(a.Tokens, whole.Tokens[:len(a.Tokens)]) || len(a.Tokens) < 5 {
		t.Errorf("it ends with %v after %v", err, a.Tokens)
	}
}
