// Package generate answers one prompt with a model in this process.
package generate

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/spotserve/spotserve/core/engineop"
	"github.com/spotserve/spotserve/engine/kernel"
	"github.com/spotserve/spotserve/engine/kv"
	"github.com/spotserve/spotserve/engine/llm"
	"github.com/spotserve/spotserve/engine/llm/cluster"
	"github.com/spotserve/spotserve/engine/model"
)

// Options say what is asked, and how it is computed.
type Options struct {
	Model     model.Source
	Tokenizer engineop.Tokenizer // nil: the model has none
	Prompt    string             // needs a tokenizer
	Tokens    []int32            // instead of Prompt
	MaxTokens int                // of the answer
	Sampling  llm.Sampling
	Pipeline  int // stages that the model is cut into
	Tensor    int // ranks of each stage
	Threads   int // of each rank; 0: the machine's cores, shared out
	// Said hears of every piece of the answer: a token, and the text that it
	// completes, if the model has a tokenizer.
	Said func(token int32, text string)
}

// Answer is what came of it. Its JSON names are a promise to scripts.
type Answer struct {
	Model        string  `json:"model"`
	PromptTokens []int32 `json:"prompt_tokens"`
	Tokens       []int32 `json:"tokens"`
	Text         string  `json:"text"` // empty without a tokenizer
	// Ended is why: length (as many tokens as were asked for), stop (a token that
	// ends answers) or context (the model takes no more).
	Ended     string  `json:"ended"`
	PrefillS  float64 `json:"prefill_s"`
	DecodeS   float64 `json:"decode_s"`
	PrefillTS float64 `json:"prefill_tokens_per_s"`
	DecodeTS  float64 `json:"decode_tokens_per_s"` // of the tokens after the first
}

// Why an answer ended.
const (
	endLength  = "length"
	endStop    = "stop"
	endContext = "context"
)

// prefillChunk is the most prompt tokens of one step.
const prefillChunk = 128

// Run answers the prompt. The end of ctx is an error, with the answer so far.
func Run(ctx context.Context, o Options) (Answer, error) {
	prompt, err := o.prompt()
	if err != nil {
		return Answer{}, err
	}
	weights, err := cluster.Load(o.Model)
	if err != nil {
		return Answer{}, err
	}
	defer weights.Close()
	c := o.Model.Config()
	longest := min(len(prompt)+o.MaxTokens, c.Context)
	machine, err := cluster.New(cluster.Options{
		Config: c, Blob: weights.Blob, Pipeline: o.Pipeline, Tensor: o.Tensor,
		CPU:     kernel.Options{Threads: cmp.Or(o.Threads, max(1, runtime.GOMAXPROCS(0)/max(1, o.Tensor)))},
		KVBytes: int64(longest+kv.PageTokens) * c.KVBytesPerToken(),
	})
	if err != nil {
		return Answer{}, err
	}
	defer machine.Close()
	s := &speaker{Options: o, machine: machine, stops: c.EOS, answer: Answer{Model: c.Name, PromptTokens: prompt, Tokens: []int32{}}}
	err = s.speak(ctx)
	return s.answer, err
}

// prompt is the tokens that are asked.
func (o Options) prompt() ([]int32, error) {
	c := o.Model.Config()
	prompt := o.Tokens
	if o.Prompt != "" {
		if o.Tokenizer == nil {
			return nil, fmt.Errorf("model %s has no tokenizer: a prompt has to be given as tokens", c.Name)
		}
		var err error
		if prompt, err = o.Tokenizer.Encode(o.Prompt); err != nil {
			return nil, err
		}
	}
	switch {
	case len(prompt) == 0:
		return nil, fmt.Errorf("the prompt is empty")
	case len(prompt) >= c.Context:
		return nil, fmt.Errorf("the prompt has %d tokens, and model %s takes %d with the answer", len(prompt), c.Name, c.Context)
	}
	return prompt, nil
}

// speaker is an answer on its way.
type speaker struct {
	Options
	machine *cluster.Cluster
	stops   []int
	answer  Answer
}

// sequence is the number of the one request.
const sequence = 1

func (s *speaker) speak(ctx context.Context) error {
	began := time.Now()
	prompt := s.answer.PromptTokens
	var next int32
	for at := 0; at < len(prompt); {
		chunk := prompt[at:min(len(prompt), at+prefillChunk)]
		step := llm.Sequence{ID: sequence, Start: at, Tokens: chunk, Sampling: s.Sampling}
		at += len(chunk)
		step.Sample = at == len(prompt)
		tokens, err := s.step(ctx, step)
		if err != nil {
			return err
		}
		if step.Sample {
			next = tokens[0]
		}
	}
	s.answer.PrefillS = time.Since(began).Seconds()
	s.answer.PrefillTS = float64(len(prompt)) / s.answer.PrefillS
	began = time.Now()
	for {
		if s.say(next); s.answer.Ended != "" {
			break
		}
		step := llm.Sequence{ID: sequence, Start: len(prompt) + len(s.answer.Tokens) - 1, Tokens: []int32{next}, Sample: true, Sampling: s.Sampling}
		tokens, err := s.step(ctx, step)
		if err != nil {
			return err
		}
		next = tokens[0]
	}
	if more := len(s.answer.Tokens) - 1; more > 0 {
		s.answer.DecodeS = time.Since(began).Seconds()
		s.answer.DecodeTS = float64(more) / s.answer.DecodeS
	}
	return nil
}

func (s *speaker) step(ctx context.Context, step llm.Sequence) ([]int32, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return s.machine.Step(ctx, []llm.Sequence{step})
}

// say adds a token to the answer, and notes whether it is the last.
func (s *speaker) say(token int32) {
	a := &s.answer
	a.Tokens = append(a.Tokens, token)
	text := ""
	if s.Tokenizer != nil {
		whole := s.Tokenizer.Decode(a.Tokens)
		text, a.Text = whole[min(len(a.Text), len(whole)):], whole
	}
	if s.Said != nil {
		s.Said(token, text)
	}
	switch {
	case slices.Contains(s.stops, int(token)):
		a.Ended = endStop
	case len(a.Tokens) >= s.MaxTokens:
		a.Ended = endLength
	case len(a.PromptTokens)+len(a.Tokens) >= s.Model.Config().Context:
		a.Ended = endContext
	}
}
