package trace

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// exporter tells in the log when a receiver goes away and when it is back, once each,
// and counts what is lost.
type exporter struct {
	sdk.SpanExporter
	log  *slog.Logger
	said atomic.Int64 // spans that were handed over
	sent atomic.Int64

	mu     sync.Mutex
	away   time.Time // since when; zero while the receiver answers
	lost   int       // since then
	closed bool      // nothing is said any more
}

// ExportSpans implements the SDK's SpanExporter. It gives no error back, which the
// SDK would write past the log.
func (e *exporter) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := e.SpanExporter.ExportSpans(ctx, spans)
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.closed: // the SDK was not waited for
	case err == nil:
		e.sent.Add(int64(len(spans)))
		if !e.away.IsZero() {
			e.log.Info("the receiver of traces answers again", "after", time.Since(e.away).Round(time.Millisecond), "spans_lost", e.lost)
			e.away, e.lost = time.Time{}, 0
		}
	default:
		e.lost += len(spans)
		if e.away.IsZero() {
			e.away = time.Now()
			e.log.Warn("the receiver of traces takes no spans; they are lost until it does", "error", err)
		}
	}
	return nil
}

// report tells at the end what was lost, by a receiver that was away or a queue that
// was full. It is the last that is said.
func (e *exporter) report() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	if lost := e.said.Load() - e.sent.Load(); lost > 0 {
		e.log.Warn("spans were lost", "spans", lost, "of", e.said.Load())
	}
}
