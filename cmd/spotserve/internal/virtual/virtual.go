// Package virtual runs an experiment in virtual time and stores its rows
// through the collector's own mapping.
package virtual

import (
	"context"
	"fmt"
	"time"

	"github.com/spotserve/spotserve/catalog"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/sim"
	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/services/collector"
)

// Run plays the experiment and writes all its rows at once. It returns the
// name of the run, kind-v<n>.
func Run(ctx context.Context, start event.StartExperiment, w store.Writer) (string, error) {
	spec, timeline, err := catalog.Resolve(start)
	if err != nil {
		return "", err
	}
	spec.Virtual, spec.TimeScale = true, 0
	n, err := w.NextRun(ctx, "v")
	if err != nil {
		return "", err
	}
	run := fmt.Sprintf("%s-v%d", spec.Kind, n)
	var rows store.Batch
	mapper, began := collector.NewMapper(), time.Now()
	err = sim.Run(run, spec, timeline, func(ev event.Event) error {
		mapper.Take(ev, began, &rows)
		return nil
	})
	if err != nil {
		return "", err
	}
	return run, w.Write(ctx, rows)
}
