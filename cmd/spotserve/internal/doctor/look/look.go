// Package look looks at a deployment for package doctor. It changes nothing: what
// it says on the bus is a roll call, which everybody answers and nobody heeds.
//
// Every part is looked at on its own and within its own time, so that one that is
// broken, or takes for ever, costs the others nothing.
package look

import (
	"context"
	"sync"
	"time"

	"github.com/spotserve/spotserve/cmd/spotserve/internal/doctor"
	"github.com/spotserve/spotserve/platform/credential"
)

// Options say where to look.
type Options struct {
	NATS        string // URLs, with commas between them
	Store       string // URL; empty: none
	Credentials credential.Files
	Metrics     []string // base URLs of services' metrics
	Monitors    []string // base URLs of NATS servers' monitoring
	Nodes       []string // that have to have a worker
	Timeout     time.Duration
}

// All looks at everything. It takes a few times the timeout at most.
func All(ctx context.Context, o Options) doctor.Seen {
	s := doctor.Seen{At: time.Now(), Expected: o.Nodes}
	l := &looker{Options: o}
	var parts sync.WaitGroup
	parts.Go(func() { s.Endpoints = each(ctx, o.Timeout, o.Metrics, l.endpoint) })
	parts.Go(func() { s.Monitors = each(ctx, o.Timeout, o.Monitors, l.monitor) })
	var onBus, inStore sync.WaitGroup
	inStore.Go(func() { l.store(ctx, &s) })
	onBus.Go(func() { l.bus(ctx, &s) })
	onBus.Wait()
	inStore.Wait()
	l.runs(ctx, &s)
	l.planes(ctx, &s)
	l.certificates(&s)
	parts.Wait()
	if l.asker != nil {
		l.asker.close()
	}
	return s
}

type looker struct {
	Options
	asker *asker // nil: no server can be asked
	shown []doctor.Certificate
}

// each looks at several things at a time and keeps their order.
func each[T any](ctx context.Context, timeout time.Duration, what []string, at func(context.Context, string) T) []T {
	out := make([]T, len(what))
	var looks sync.WaitGroup
	for i, x := range what {
		looks.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, timeout)
			defer cancel()
			out[i] = at(ctx, x)
		})
	}
	looks.Wait()
	return out
}
