package planner

import (
	"context"
	"log/slog"
	"time"

	"github.com/spotserve/spotserve/core/effect"
	"github.com/spotserve/spotserve/core/event"
	core "github.com/spotserve/spotserve/core/planner"
	"github.com/spotserve/spotserve/core/vtime"
	"github.com/spotserve/spotserve/platform/actor"
	"github.com/spotserve/spotserve/platform/obs"
	"github.com/spotserve/spotserve/platform/trace"
	"github.com/spotserve/spotserve/platform/wire"
)

// teller logs what a run's core decides. What an earlier planner decided, that one
// has logged.
type teller struct {
	actor.Core
	progress func() (core.Stage, uint64)
	tracer   *trace.Tracer
	run      string
	term     uint64 // of this planner
	log      *slog.Logger
	requests bool // log them too

	leads   bool
	plan    *slog.Logger // of the newest plan; nil once it serves, and before the first
	planned time.Time
}

func (s *service) teller(c actor.Core, manager *core.MetaContextManager, run string, term uint64, log *slog.Logger) *teller {
	return &teller{
		Core: c, progress: manager.Progress, tracer: s.Tracer, run: run, term: term, log: log,
		requests: log.Enabled(context.Background(), slog.LevelDebug),
	}
}

// Step implements actor.Core.
func (t *teller) Step(now vtime.Time, ev event.Event) []effect.Effect {
	effects := t.Core.Step(now, ev)
	if elected, ok := ev.Body.(event.PlannerElected); ok {
		t.leads = t.leads || elected.Term >= t.term
	}
	for i := range effects {
		switch b := effects[i].Event.Body.(type) {
		case event.ConfigChosen:
			t.plan, t.planned = t.traced(t.log.With(obs.KeyEpoch, b.Epoch), t.tracer.Reconfiguration(t.run, b.Epoch.N)), time.Now()
			t.tell("plan made", "config", b.Config, "gpus", b.GPUs, "why", b.Why, "at", now)
		case event.MigrationPlanned:
			t.tell("migration planned", "model_bytes", b.ModelBytes, "cache_bytes", b.CacheBytes, "disk_bytes", b.DiskBytes,
				"estimate", b.Estimate, "deadline", b.Deadline, "resumed", b.ResumedRequests, "requeued", b.RequeuedRequests)
		case event.RequestCompleted:
			t.ended(b.Record.Request, "completed", "")
		case event.RequestUnfinished:
			t.ended(b.Record.Request, "unfinished", "")
		case event.RequestRefused:
			t.ended(b.Request, "refused", b.Reason)
		}
	}
	if stage, _ := t.progress(); t.plan != nil && stage != core.Starting {
		t.tell("plan serves", "after", time.Since(t.planned).Round(time.Millisecond), "at", now)
		t.plan = nil
	}
	return effects
}

// tell logs something about the newest plan.
func (t *teller) tell(text string, args ...any) {
	if t.leads {
		t.plan.Info(text, args...)
	}
}

// ended logs the end of a request, of which there may be many.
func (t *teller) ended(id event.RequestID, how, reason string) {
	if !t.leads || !t.requests {
		return
	}
	log := t.log
	if !wire.OfUser(id) { // whose trace may be the user's own
		log = t.traced(log, t.tracer.Request(t.run, id, trace.Context{}))
	}
	log.Debug("request ended", obs.KeyRequest, uint64(id), "how", how, "reason", reason)
}

// traced adds a trace to a logger, if it is sampled.
func (t *teller) traced(log *slog.Logger, c trace.Context) *slog.Logger {
	if c.Sampled {
		return log.With(obs.KeyTrace, c.Trace.String())
	}
	return log
}
