package cli

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/spotserve/spotserve/cmd/spotserve/internal/weights"
	"github.com/spotserve/spotserve/engine/weights/bucket"
)

func (a *app) publish() *cobra.Command {
	var model weights.Flags
	cmd := &cobra.Command{
		Use:   "publish <bucket>",
		Short: "put a model's weights into a bucket, cut as workers fetch them",
		Long: `Put a model's weights into a bucket, an object for each leaf of a layer and a
manifest with checksums, so that workers on any host fetch no more than they
need. An experiment names the bucket by transformer.weights.`,
		Example: "  spotserve publish file:///srv/models/llama --model llama.gguf",
		Args:    arguments("bucket"),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case model.Location == "":
				return &usageError{weights.ErrMissing}
			case !strings.Contains(args[0], "://"):
				return usagef("bucket %q is no URL: allowed are the likes of file:///srv/models/llama", args[0])
			}
			return a.publishTo(cmd.Context(), args[0], &model)
		},
	}
	model.Add(cmd.Flags())
	return cmd
}

func (a *app) publishTo(ctx context.Context, url string, f *weights.Flags) (err error) {
	source, err := f.Open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	const steps = 10 // that are told
	told := int64(0)
	return interruptedOr(ctx, bucket.Publish(ctx, source, url, func(bytes, of int64) {
		if step := bytes * steps / of; step > told {
			told = step
			a.say("%.4g of %.4g GB", float64(bytes)/1e9, float64(of)/1e9)
		}
	}))
}
