package cli

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/spotserve/spotserve/cmd/spotserve/internal/live"
	"github.com/spotserve/spotserve/platform/bus/natsbus"
	"github.com/spotserve/spotserve/platform/service"
)

func (a *app) ask() *cobra.Command {
	var q live.Question
	var tokens string
	var maxTokens, topK int
	var temperature, topP float64
	var seed uint64
	cmd := &cobra.Command{
		Use:   "ask <run>",
		Short: "ask a run that computes tokens, and print its answer",
		Long: `Ask a run in progress that computes tokens, on the server at --nats, and print
its answer. What no flag says is as the run has it.`,
		Example: "  spotserve ask custom-7 --nats nats://127.0.0.1:4222 --prompt \"Once upon a time\"",
		Args:    arguments("run"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if (q.Prompt == "") == (tokens == "") {
				return usagef("want one of --prompt and --tokens")
			}
			if q.Tokens, err = tokenNumbers(tokens); err != nil {
				return err
			}
			given := cmd.Flags().Changed
			set(given("max-tokens"), &q.MaxTokens, &maxTokens)
			set(given("temperature"), &q.Temperature, &temperature)
			set(given("top-p"), &q.TopP, &topP)
			set(given("top-k"), &q.TopK, &topK)
			set(given("seed"), &q.Seed, &seed)
			if q.ID == "" {
				q.ID = "ask-" + rand.Text()
			}
			return a.askRun(cmd.Context(), args[0], q)
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&q.ID, "id", "", "name of the request, under which the answer is stored; asked again, it is the same request (default: made up)")
	fs.StringVarP(&q.Prompt, "prompt", "p", "", "text to go on from; needs a model with a tokenizer")
	fs.StringVar(&tokens, "tokens", "", "numbers of tokens to go on from, with commas between, instead of a text")
	fs.IntVarP(&maxTokens, "max-tokens", "n", 0, "most tokens of the answer (default: the run's)")
	fs.Float64Var(&temperature, "temperature", 0, "of the draws (default: the run's)")
	fs.Float64Var(&topP, "top-p", 0, "share of the probability to draw from (default: the run's)")
	fs.IntVar(&topK, "top-k", 0, "likeliest tokens to draw from (default: the run's)")
	fs.Uint64Var(&seed, "seed", 0, "of the draws (default: the run's)")
	return cmd
}

// set points to a value that was given.
func set[T any](given bool, to **T, value *T) {
	if given {
		*to = value
	}
}

// reply is an answer. Its JSON names are a promise to scripts.
type reply struct {
	ID       string  `json:"id"`
	Tokens   []int32 `json:"tokens"`
	Text     string  `json:"text"`
	LatencyS float64 `json:"latency_s"`
}

func (a *app) askRun(ctx context.Context, run string, q live.Question) (err error) {
	url := a.nats
	if url == "" {
		url = service.DefaultNATS
	}
	if err := a.checkRunning(ctx, run); err != nil {
		return err
	}
	b, err := natsbus.Connect(ctx, natsbus.Options{URL: url, Credentials: a.credentials, Name: "spotserve-cli", Log: a.logger()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	answer, err := live.Ask(ctx, b, run, q)
	if err != nil {
		return interruptedOr(ctx, err)
	}
	if a.output == "json" {
		e := json.NewEncoder(a.stdout)
		e.SetIndent("", "  ")
		return e.Encode(reply{
			ID: q.ID, Tokens: answer.Output, Text: answer.Text, LatencyS: answer.Record.Finished.Sub(answer.Record.Arrived).Seconds(),
		})
	}
	text := answer.Text
	if text == "" {
		text = strings.Trim(fmt.Sprint(answer.Output), "[]")
	}
	_, err = fmt.Fprintln(a.stdout, text)
	return err
}
