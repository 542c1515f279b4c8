package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/spotserve/spotserve/cmd/spotserve/internal/generate"
	"github.com/spotserve/spotserve/cmd/spotserve/internal/weights"
)

// generateFlags say what to answer, and how.
type generateFlags struct {
	model       weights.Flags
	options     generate.Options
	tokens      string
	temperature float64
	topP        float64
}

func (a *app) generate() *cobra.Command {
	f := new(generateFlags)
	cmd := &cobra.Command{
		Use:   "generate",
		Short: "answer a prompt with a model on this machine",
		Long: `Answer a prompt with a model of the Llama family on the CPUs of this machine,
and print the answer while it is computed. The model may be cut into stages and
ranks, as workers would have it: the answer is the same.`,
		Example: "  spotserve generate --model llama.gguf --prompt \"Once upon a time\"\n" +
			"  spotserve generate --model synthetic:42 --tokens 1,2,3 --max-tokens 16 --tensor 2 --pipeline 2 --output json",
		Args: arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return err
			}
			return a.answer(cmd.Context(), f)
		},
	}
	fs := cmd.Flags()
	f.model.Add(fs)
	fs.StringVarP(&f.options.Prompt, "prompt", "p", "", "text to go on from; needs a model with a tokenizer")
	fs.StringVar(&f.tokens, "tokens", "", "numbers of tokens to go on from, with commas between, instead of a text")
	fs.IntVarP(&f.options.MaxTokens, "max-tokens", "n", 128, "most tokens of the answer")
	fs.Float64Var(&f.temperature, "temperature", 0, "of the draws; 0: always the likeliest token")
	fs.Float64Var(&f.topP, "top-p", 0, "draw among the likeliest tokens of so much of the probability; 0: among all")
	fs.IntVar(&f.options.Sampling.TopK, "top-k", 0, "draw among so many of the likeliest tokens; 0: among all")
	fs.Uint64Var(&f.options.Sampling.Seed, "seed", 0, "of the draws")
	fs.IntVar(&f.options.Threads, "threads", 0, "of each rank (default: the cores, shared out)")
	fs.IntVar(&f.options.Tensor, "tensor", 1, "ranks that share every layer")
	fs.IntVar(&f.options.Pipeline, "pipeline", 1, "stages that share the layers")
	return cmd
}

// maxThreads bounds the threads of a rank.
const maxThreads = 1024

// check reads the flags that are texts, and refuses what cannot be.
func (f *generateFlags) check() error {
	o := &f.options
	switch {
	case f.model.Location == "":
		return &usageError{weights.ErrMissing}
	case (o.Prompt == "") == (f.tokens == ""):
		return usagef("want one of --prompt and --tokens")
	case o.MaxTokens < 1:
		return usagef("--max-tokens %d: allowed are whole numbers from 1", o.MaxTokens)
	case !(f.temperature >= 0 && f.temperature <= 100):
		return usagef("--temperature %v: allowed are 0 to 100", f.temperature)
	case !(f.topP >= 0 && f.topP <= 1):
		return usagef("--top-p %v: allowed are 0 to 1", f.topP)
	case o.Sampling.TopK < 0:
		return usagef("--top-k %d: allowed are whole numbers from 0", o.Sampling.TopK)
	case o.Threads < 0 || o.Threads > maxThreads:
		return usagef("--threads %d: allowed are 0 (the cores, shared out) to %d", o.Threads, maxThreads)
	case o.Tensor < 1 || o.Pipeline < 1:
		return usagef("--tensor %d and --pipeline %d: allowed are whole numbers from 1", o.Tensor, o.Pipeline)
	}
	o.Sampling.Temperature, o.Sampling.TopP = float32(f.temperature), float32(f.topP)
	var err error
	o.Tokens, err = tokenNumbers(f.tokens)
	return err
}

// tokenNumbers reads the flag --tokens; none if it is empty.
func tokenNumbers(text string) (tokens []int32, err error) {
	if text == "" {
		return nil, nil
	}
	for number := range strings.SplitSeq(text, ",") {
		token, err := strconv.ParseInt(strings.TrimSpace(number), 10, 32)
		if err != nil || token < 0 {
			return nil, usagef("--tokens %q: want numbers of tokens with commas between", text)
		}
		tokens = append(tokens, int32(token))
	}
	return tokens, nil
}

// answer prints the answer: while it is computed, or as JSON when it is complete.
func (a *app) answer(ctx context.Context, f *generateFlags) (err error) {
	o := f.options
	if o.Model, err = f.model.Open(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.Model.Close()) }()
	if o.Tokenizer, err = f.model.Tokenizer(); err != nil {
		return err
	}
	streamed := a.output != "json"
	if streamed {
		o.Said = func(token int32, text string) {
			if o.Tokenizer == nil {
				text = strconv.Itoa(int(token)) + " "
			}
			_, _ = fmt.Fprint(a.stdout, text)
		}
	}
	answer, err := generate.Run(ctx, o)
	if streamed && len(answer.Tokens) > 0 {
		_, _ = fmt.Fprintln(a.stdout)
	}
	if err != nil {
		return interruptedOr(ctx, err)
	}
	if !streamed {
		e := json.NewEncoder(a.stdout)
		e.SetIndent("", "  ")
		return e.Encode(answer)
	}
	a.say("%d prompt tokens in %.3g s (%.4g/s), %d tokens of answer, %.4g/s; ended by %s",
		len(answer.PromptTokens), answer.PrefillS, answer.PrefillTS, len(answer.Tokens), answer.DecodeTS, answer.Ended)
	return nil
}
