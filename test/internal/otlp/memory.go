package otlp

import (
	"context"
	"strings"
	"sync"

	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// Memory is an exporter that keeps what it gets, for tests without a network.
type Memory struct {
	mu    sync.Mutex
	spans []Span
}

// Spans returns what has come so far.
func (m *Memory) Spans() []Span {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]Span(nil), m.spans...)
}

// ExportSpans implements the SDK's SpanExporter.
func (m *Memory) ExportSpans(_ context.Context, list []sdk.ReadOnlySpan) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range list {
		out := Span{
			Trace: s.SpanContext().TraceID().String(), ID: s.SpanContext().SpanID().String(), Name: s.Name(),
			Start: s.StartTime(), End: s.EndTime(), Attributes: make(map[string]string),
		}
		if s.Parent().IsValid() {
			out.Parent = s.Parent().SpanID().String()
		}
		for _, a := range s.Resource().Attributes() {
			if a.Key == "service.name" {
				out.Service = a.Value.AsString()
			}
		}
		for _, a := range s.Attributes() {
			out.Attributes[strings.TrimPrefix(string(a.Key), "spotserve.")] = a.Value.String()
		}
		for _, l := range s.Links() {
			out.Links = append(out.Links, l.SpanContext.TraceID().String()+"/"+l.SpanContext.SpanID().String())
		}
		if s.Status().Code == codes.Error {
			out.Error = s.Status().Description
		}
		m.spans = append(m.spans, out)
	}
	return nil
}

// Shutdown implements the SDK's SpanExporter.
func (m *Memory) Shutdown(context.Context) error { return nil }
