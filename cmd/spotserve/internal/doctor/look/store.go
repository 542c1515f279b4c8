package look

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spotserve/spotserve/cmd/spotserve/internal/doctor"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/platform/store/open"
	"github.com/spotserve/spotserve/platform/wire"
)

// store looks at the SQL store, and lists the runs that have not ended.
func (l *looker) store(ctx context.Context, s *doctor.Seen) {
	ctx, cancel := context.WithTimeout(ctx, l.Timeout)
	defer cancel()
	s.Store.URL = open.Redacted(l.Store)
	if u, err := url.Parse(l.Store); err == nil && u.Scheme == "clickhouse" {
		s.Store.TLS = u.Query().Get("secure") == "true"
		s.Store.Plain = !s.Store.TLS && !isLoopback(l.Store)
	}
	r, err := open.As(l.Credentials).OpenReader(ctx, l.Store)
	if err != nil {
		s.Store.Err, s.Runs.Err = err, errStore
		return
	}
	defer func() { _ = r.Close() }() // nothing was written
	if v, ok := r.(interface {
		Schema(context.Context) (have, known int, err error)
	}); ok {
		s.Store.Schema, s.Store.Known, s.Store.SchemaErr = v.Schema(ctx)
	}
	if v, ok := r.(interface {
		Rights(context.Context) (string, error)
	}); ok {
		s.Store.Rights, s.Store.RightsErr = v.Rights(ctx)
	}
	runs, err := store.ListRuns(ctx, r)
	if err != nil {
		s.Runs.Err = err
		return
	}
	for _, run := range runs {
		if !run.Virtual && (run.Status == "running" || run.Status == "queued") {
			s.Runs.Open = append(s.Runs.Open, doctor.Run{Run: run})
		}
	}
}

var errStore = errors.New("the store cannot be asked")

// runs looks at what the bus has of the runs that have not ended.
func (l *looker) runs(ctx context.Context, s *doctor.Seen) {
	for i := range s.Runs.Open {
		run := &s.Runs.Open[i]
		run.Now = l.now(s)
		if l.asker == nil {
			run.Err = errNoServer
			continue
		}
		if run.Status == "running" {
			run.Err = l.run(ctx, run)
		}
	}
}

func (l *looker) run(ctx context.Context, run *doctor.Run) error {
	name := run.Run.Run
	last, err := l.last(ctx, bus.Runs, wire.RunFilter(name))
	if isCode(err, codeNoMessage) {
		return nil
	} else if err != nil {
		return err
	}
	run.Messages, run.LastSaid = true, last.Time
	end, err := l.last(ctx, bus.Runs, wire.RunFinishedFilter(name))
	switch {
	case err == nil:
		run.Ended = end.Time
		return nil
	case !isCode(err, codeNoMessage):
		return err
	}
	start, err := l.last(ctx, bus.Runs, strings.TrimSuffix(wire.FleetFilter(name), ">")+string(event.RunStarted{}.Kind()))
	if isCode(err, codeNoMessage) {
		return nil
	} else if err != nil {
		return err
	}
	ev, err := wire.Decode(start.Data)
	if err != nil {
		return fmt.Errorf("its start: %w", err)
	}
	if begun, ok := ev.Body.(event.RunStarted); ok {
		run.Nodes, run.Measured = begun.Spec.Nodes, begun.Spec.Measured()
		run.Started, run.Clock = start.Time, time.Unix(0, begun.WallStart)
	}
	return nil
}
