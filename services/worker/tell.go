package worker

import (
	"log/slog"

	"github.com/spotserve/spotserve/core/effect"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/vtime"
	"github.com/spotserve/spotserve/platform/actor"
	"github.com/spotserve/spotserve/platform/obs"
	"github.com/spotserve/spotserve/platform/trace"
)

// teller logs a node's part in the plans of a run.
type teller struct {
	actor.Core
	tracer *trace.Tracer
	run    string
	log    *slog.Logger
}

// Step implements actor.Core.
func (t *teller) Step(now vtime.Time, ev event.Event) []effect.Effect {
	effects := t.Core.Step(now, ev)
	for i := range effects {
		switch b := effects[i].Event.Body.(type) {
		case event.ContextMigrated:
			t.of(b.Epoch).Info("context is here", "bytes", b.Bytes, "disk_bytes", b.DiskBytes, "at", b.At)
		case event.StageStarted:
			t.of(b.Epoch).Info("stage is up", "pipeline", b.Pipeline, "stage", b.Stage, "at", b.At)
		case event.PipelineExited:
			// It was started by this plan, and stops for the next one.
			t.log.Info("pipeline has exited", obs.KeyEpoch, b.Epoch, "pipeline", b.Pipeline, "interrupted", len(b.Interrupted), "given_back", len(b.Unprocessed), "at", b.At)
		}
	}
	return effects
}

// of is the log of a plan.
func (t *teller) of(e event.Epoch) *slog.Logger {
	log := t.log.With(obs.KeyEpoch, e)
	if t.tracer.On() {
		log = log.With(obs.KeyTrace, t.tracer.Reconfiguration(t.run, e.N).Trace.String())
	}
	return log
}
