package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/spotserve/spotserve/cmd/spotserve/internal/measure"
	"github.com/spotserve/spotserve/cmd/spotserve/internal/weights"
	"github.com/spotserve/spotserve/engine/checkpoint"
)

func (a *app) profile() *cobra.Command {
	var model weights.Flags
	var o measure.Options
	var out string
	var memoryGB float64
	cmd := &cobra.Command{
		Use:   "profile",
		Short: "measure a model on this machine, for experiments that compute tokens",
		Long: `Measure a model of the Llama family on this machine, as workers compute it, and
write what an experiment file takes by the key measured: model, instance, engine
and latency profile.`,
		Example: "  spotserve profile --model synthetic:42 --out here.yaml\n  spotserve profile --model llama.gguf --max-tensor 2 --copies 2 --out here.yaml",
		Args:    arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if model.Location == "" {
				return &usageError{weights.ErrMissing}
			}
			o.MemoryBytes = int64(memoryGB * 1e9)
			return a.measure(cmd.Context(), &model, o, out)
		},
	}
	fs := cmd.Flags()
	model.Add(fs)
	fs.IntVar(&o.MaxBatch, "max-batch", 8, "largest batch to measure, a power of two")
	fs.IntVar(&o.MaxTensor, "max-tensor", 0, "largest tensor degree to measure, a power of two (default: the leaves, at most 4)")
	fs.IntVar(&o.PromptTokens, "prompt-tokens", 128, "length of the prompts")
	fs.IntVar(&o.PrefillChunk, "prefill-chunk", 128, "most prompt tokens of one step")
	fs.IntVar(&o.Threads, "threads", 1, "of each device")
	fs.IntVar(&o.Copies, "copies", 1, "pipelines that compute at the same time, and share the cores")
	fs.Float64Var(&memoryGB, "memory-gb", 0, "memory of a device, 1e9 bytes (default: what the model takes with its KV cache and the usual migration buffer)")
	fs.StringVarP(&out, "out", "o", "", "file to write (default: standard output)")
	return cmd
}

// measure writes what it measures to a file, or to the standard output.
func (a *app) measure(ctx context.Context, f *weights.Flags, o measure.Options, out string) (err error) {
	if o.Model, err = f.Open(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.Model.Close()) }()
	if o.MaxTensor == 0 {
		o.MaxTensor = min(o.Model.Config().Leaves, 4)
	}
	o.Say, o.Location = a.say, f.Location
	if !strings.HasPrefix(o.Location, checkpoint.Synthetic) {
		if o.Location, err = filepath.Abs(o.Location); err != nil {
			return err
		}
	}
	measured, err := measure.Run(ctx, o)
	if err != nil {
		return interruptedOr(ctx, err)
	}
	text, err := measured.YAML()
	if err != nil {
		return err
	}
	if out == "" {
		_, err = a.stdout.Write(text)
		return err
	}
	return os.WriteFile(out, text, 0o644) //nolint:gosec // nothing in it is secret
}
