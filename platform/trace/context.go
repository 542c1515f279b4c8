package trace

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"strings"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	otel "go.opentelemetry.io/otel/trace"

	"github.com/spotserve/spotserve/core/event"
)

// TraceID is that of OpenTelemetry.
type TraceID = otel.TraceID //nolint:revive // trace.ID would be read as a span's

// SpanID is that of OpenTelemetry.
type SpanID = otel.SpanID

// Context names a span, and says whether its trace is sampled. The zero value names
// none.
type Context struct {
	Trace   TraceID
	Span    SpanID
	Sampled bool
}

// IsZero reports whether c names no span.
func (c Context) IsZero() bool { return c == Context{} }

func (c Context) otel() otel.SpanContext {
	config := otel.SpanContextConfig{TraceID: c.Trace, SpanID: c.Span, Remote: true}
	if c.Sampled {
		config.TraceFlags = otel.FlagsSampled
	}
	return otel.NewSpanContext(config)
}

// traceparent is the length of one of version 00:
// 00-<32 hex digits>-<16 hex digits>-<2 hex digits>.
const traceparent = 55

// String is c as a traceparent (W3C Trace Context, version 00).
func (c Context) String() string {
	flags := "00"
	if c.Sampled {
		flags = "01"
	}
	return "00-" + c.Trace.String() + "-" + c.Span.String() + "-" + flags
}

// Parse reads a traceparent. A version that it does not know is read as far as the
// parts of version 00 go, as the standard asks. What is no traceparent names no span.
func Parse(text string) (c Context, ok bool) {
	if len(text) < traceparent || len(text) > traceparent && (text[traceparent] != '-' || strings.HasPrefix(text, "00")) {
		return Context{}, false
	}
	if strings.HasPrefix(text, "ff") || text[2] != '-' || text[35] != '-' || text[52] != '-' {
		return Context{}, false
	}
	var version, flags [1]byte
	for _, part := range []struct {
		to   []byte
		from string
	}{{version[:], text[:2]}, {c.Trace[:], text[3:35]}, {c.Span[:], text[36:52]}, {flags[:], text[53:55]}} {
		if strings.ToLower(part.from) != part.from {
			return Context{}, false
		}
		if _, err := hex.Decode(part.to, []byte(part.from)); err != nil {
			return Context{}, false
		}
	}
	c.Sampled = flags[0]&1 == 1
	return c, c.Trace.IsValid() && c.Span.IsValid()
}

// hash is a hash of parts, none of which can be taken for another's end.
func hash(parts ...string) [sha256.Size]byte {
	var text []byte
	for _, p := range parts {
		text = binary.AppendUvarint(text, uint64(len(p)))
		text = append(text, p...)
	}
	return sha256.Sum256(text)
}

// span is the id of a span by its place in the trace.
func span(id TraceID, place ...string) (out SpanID) {
	h := hash(append([]string{string(id[:])}, place...)...)
	copy(out[:], h[:])
	return out
}

func traceID(parts ...string) (out TraceID) {
	h := hash(parts...)
	copy(out[:], h[:])
	return out
}

// Place is the span of c's trace at a place below c: its id is derived from both.
func (c Context) Place(place ...string) Context {
	return Context{c.Trace, span(c.Trace, append([]string{string(c.Span[:])}, place...)...), c.Sampled}
}

// Request is the span of a request of a run: the first of its own trace, or, where
// the user's parent is not zero, a child of that. A trace that its user does not
// sample is not sampled here either.
func (t *Tracer) Request(run string, id event.RequestID, parent Context) Context {
	number := strconv.FormatUint(uint64(id), 10)
	c := Context{Trace: parent.Trace, Sampled: parent.Sampled}
	if parent.IsZero() {
		c = Context{Trace: traceID("request", run, number), Sampled: true}
	}
	c.Span = span(c.Trace, "request", run, number)
	c.Sampled = c.Sampled && t.sampled(c.Trace)
	return c
}

// Reconfiguration is the first span of the trace of how a run comes to its plan of
// number n, and serves with it. Plans are counted over all leaders of a run.
func (t *Tracer) Reconfiguration(run string, n uint64) Context {
	id := traceID("reconfiguration", run, strconv.FormatUint(n, 10))
	return Context{id, span(id, "reconfiguration"), t != nil}
}

// Batch is the first span of the trace of a batch: of the run's plan of number n, by
// pipeline and number.
func (t *Tracer) Batch(run string, n uint64, pipeline int, batch uint64) Context {
	id := traceID("batch", run, strconv.FormatUint(n, 10), strconv.Itoa(pipeline), strconv.FormatUint(batch, 10))
	return Context{id, span(id, "batch"), t.sampled(id)}
}

// sampled decides by the id, alike in all services.
func (t *Tracer) sampled(id TraceID) bool {
	return t != nil && t.sampler.ShouldSample(sdk.SamplingParameters{TraceID: id}).Decision == sdk.RecordAndSample
}
