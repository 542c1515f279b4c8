package plotter_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oklog/run"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/spotserve/spotserve/platform/bus/bustest"
	"github.com/spotserve/spotserve/platform/bus/membus"
	"github.com/spotserve/spotserve/platform/obs"
	"github.com/spotserve/spotserve/services/plotter"
)

// TestTheBusIsAway when it starts: it waits, and is ready when the bus is back.
func TestTheBusIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := membus.New(membus.Options{})
		defer b.Close()
		began := time.Now()
		var g run.Group
		var ready obs.Readiness
		err := plotter.Setup(&g, plotter.Options{
			Bus:    &bustest.Flaky{Bus: b, Away: func(int64) bool { return time.Since(began) < time.Minute }},
			Folder: t.TempDir(), Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(), Ready: &ready,
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		g.Add(run.ContextHandler(ctx))
		ended := make(chan error, 1)
		go func() { ended <- g.Run() }()
		if err := ready.Wait(t.Context()); err != nil || time.Since(began) < time.Minute {
			t.Errorf("it is ready after %s, %v", time.Since(began), err)
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("it ends with %v", err)
		}
	})
}
