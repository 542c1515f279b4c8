// Package trace tells what one process does as spans, by OpenTelemetry, so that a
// backend can put together one request, or one reconfiguration, across all services.
//
// It is off unless an endpoint is named: then Options.Open returns nil, and a nil
// *Tracer is one that says nothing. Nothing waits for a span to be sent: spans go
// through a bounded queue, and what does not fit into it, or what nobody takes for a
// while, is lost and counted in the log. A service goes on, and ends, as if it had
// no tracer.
//
// # Names that are derived, not passed on
//
// A trace's id is a hash of what the trace is about: (run, request) or (run, number
// of the plan). A span's id is a hash of its trace's id and of its place in it. So
// every service finds the same trace without being told, a planner that takes over
// goes on with the traces of the one before it, and a span that two processes say,
// because one of them was thought dead, is one span. That is also why a trace is
// sampled by its id alone: all services come to the same answer.
//
// What cannot be derived is what a user brings along: a request that arrives with a
// traceparent is a child of that span, in its trace. Who gets the request handed on
// is told.
//
// # What a message carries
//
// One message may concern many requests, so a request's context cannot be the
// message's. The header traceparent is the message's own cause: the plan for what
// carries a plan out and for what answers to it, the batch for what tells of a batch,
// the request for what tells of one request. The requests of a batch have spans of
// their own in their own traces, with derived ids; batch and request link to each
// other. The header baggage of a message that hands requests on has, for those that
// came with a traceparent, the context of the request: r<id>=<traceparent>.
//
// Package spans says which spans there are.
package trace

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"net/url"
	"os"
	"time"

	"github.com/spf13/pflag"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	otel "go.opentelemetry.io/otel/trace"

	"github.com/spotserve/spotserve/platform/version"
)

// Options are the flags that every service has. The zero value is off.
type Options struct {
	// Endpoint is the URL of a receiver of OTLP over HTTP; empty: no traces.
	Endpoint string
	// Sample is the share of requests that are traced. Reconfigurations are few, and
	// all of them are.
	Sample float64
}

// DefaultSample traces every request.
const DefaultSample = 1

// AddFlags adds --trace-endpoint and --trace-sample, with the present endpoint as
// the default.
func (o *Options) AddFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.Endpoint, "trace-endpoint", o.Endpoint,
		"send traces to this receiver of OTLP over HTTP (http://127.0.0.1:4318); empty: off")
	fs.Float64Var(&o.Sample, "trace-sample", DefaultSample,
		"share of requests that are traced, 0 to 1, the same for all services; reconfigurations always are")
}

// tracesPath is where receivers of OTLP take traces.
const tracesPath = "/v1/traces"

// url is where spans are sent.
func (o Options) url() (string, error) {
	u, err := url.Parse(o.Endpoint)
	switch {
	case err != nil:
		// The text of the error would repeat a password in the URL.
		return "", fmt.Errorf("--trace-endpoint: not a URL: want http://host:port or https://host:port")
	case u.User != nil:
		return "", fmt.Errorf("--trace-endpoint: it has a user in it: secrets go into the environment, OTEL_EXPORTER_OTLP_HEADERS")
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "", u.RawQuery != "", u.Fragment != "":
		return "", fmt.Errorf("--trace-endpoint %s: want http://host:port or https://host:port, with a path where the receiver has one", o.Endpoint)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = tracesPath
	}
	return u.String(), nil
}

// Check says what is wrong with the options.
func (o Options) Check() error {
	if !(o.Sample >= 0 && o.Sample <= 1) || math.Signbit(o.Sample) {
		return fmt.Errorf("--trace-sample %v: allowed are 0 to 1", o.Sample)
	}
	if o.Endpoint == "" {
		return nil
	}
	_, err := o.url()
	return err
}

// Service names what says the spans.
type Service struct {
	Name string // of the program
	Node string // that a worker stands for; empty if there is none, or several
}

// Open returns a tracer, nil if the options name no endpoint. The receiver need not
// be there. The exporter reads the variables OTEL_EXPORTER_OTLP_HEADERS and
// OTEL_EXPORTER_OTLP_CERTIFICATE of the environment, for what a receiver wants beside
// its URL.
func (o Options) Open(ctx context.Context, s Service, log *slog.Logger) (*Tracer, error) {
	if err := o.Check(); err != nil || o.Endpoint == "" {
		return nil, err
	}
	endpoint, err := o.url()
	if err != nil {
		return nil, err
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(endpoint), otlptracehttp.WithTimeout(sendTimeout),
		otlptracehttp.WithRetry(otlptracehttp.RetryConfig{
			Enabled: true, InitialInterval: firstRetry, MaxInterval: lastRetry, MaxElapsedTime: retryFor,
		}))
	if err != nil {
		return nil, fmt.Errorf("traces to %s: %w", o.Endpoint, err)
	}
	t := New(exporter, s, o.Sample, log)
	log.Info("traces are sent", "endpoint", o.Endpoint, "sample", o.Sample)
	return t, nil
}

// How spans are sent, in wall time.
const (
	sendTimeout = 5 * time.Second
	firstRetry  = 500 * time.Millisecond
	lastRetry   = 5 * time.Second
	retryFor    = 20 * time.Second // then a batch is lost
	sendEvery   = time.Second
	closeWait   = 2 * time.Second // for what is left at the end

	queueSpans = 8192 // most that wait; those of more are lost
	batchSpans = 512
)

// Tracer says spans. A nil one says none, at no cost.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   otel.Tracer
	sampler  sdk.Sampler
	exporter *exporter
}

// New returns a tracer that hands its spans to an exporter, of which it takes over
// the end.
func New(to sdk.SpanExporter, s Service, sample float64, log *slog.Logger) *Tracer {
	t := &Tracer{sampler: sdk.TraceIDRatioBased(sample), exporter: &exporter{SpanExporter: to, log: log}}
	t.provider = sdk.NewTracerProvider(
		sdk.WithBatcher(t.exporter, sdk.WithMaxQueueSize(queueSpans), sdk.WithMaxExportBatchSize(batchSpans),
			sdk.WithBatchTimeout(sendEvery), sdk.WithExportTimeout(retryFor)),
		sdk.WithSampler(sdk.AlwaysSample()), // what is said was sampled before
		sdk.WithIDGenerator(derived{}),
		sdk.WithResource(resource.NewSchemaless(s.attributes()...)),
	)
	t.tracer = t.provider.Tracer("github.com/spotserve/spotserve")
	return t
}

// attributes are those of the process, by the names of OpenTelemetry's conventions.
func (s Service) attributes() []attribute.KeyValue {
	out := []attribute.KeyValue{
		attribute.String("service.namespace", "spotserve"), attribute.String("service.name", s.Name),
		attribute.String("service.version", version.Of().Version),
	}
	if host, err := os.Hostname(); err == nil {
		out = append(out, attribute.String("service.instance.id", fmt.Sprintf("%s/%d", host, os.Getpid())))
	}
	if s.Node != "" {
		out = append(out, attribute.String("spotserve.node", s.Node))
	}
	return out
}

// On reports whether anything is said at all.
func (t *Tracer) On() bool { return t != nil }

// Close sends what is left, as far as the receiver takes it within a moment.
func (t *Tracer) Close() error {
	if t == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeWait)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		// Cuts off the sending that it has not waited for.
		_ = t.exporter.Shutdown(context.Background())
	}
	t.exporter.report()
	return nil
}

// Span is a piece of work that is over.
type Span struct {
	Context        // of the span itself
	Parent  SpanID // in the same trace; zero for the first span
	Name    string
	Start   time.Time // wall time, like End
	End     time.Time // what lies before Start is Start
	Kind    Kind
	Links   []Context // spans of other traces
	Error   string    // what went wrong; empty: nothing
	// Attributes are what else is to be known.
	Attributes []attribute.KeyValue
}

// Kind is which side of a message a span is on.
type Kind = otel.SpanKind

// The kinds.
const (
	Internal = otel.SpanKindInternal
	Producer = otel.SpanKindProducer
	Consumer = otel.SpanKindConsumer
)

// Say hands a span over, if its trace is sampled. It does not wait.
func (t *Tracer) Say(s Span) {
	if t == nil || !s.Sampled {
		return
	}
	ctx := context.WithValue(context.Background(), derivedKey{}, s.Context)
	if s.Parent != (SpanID{}) {
		ctx = otel.ContextWithRemoteSpanContext(ctx, Context{s.Trace, s.Parent, true}.otel())
	}
	links := make([]otel.Link, len(s.Links))
	for i, l := range s.Links {
		links[i] = otel.Link{SpanContext: l.otel()}
	}
	t.exporter.said.Add(1)
	_, span := t.tracer.Start(ctx, s.Name, otel.WithTimestamp(s.Start), otel.WithSpanKind(s.Kind),
		otel.WithAttributes(s.Attributes...), otel.WithLinks(links...))
	if s.Error != "" {
		span.SetStatus(codes.Error, s.Error)
	}
	if s.End.Before(s.Start) {
		s.End = s.Start
	}
	span.End(otel.WithTimestamp(s.End))
}

// derived gives a span the ids that it was said with. The SDK asks for them by the
// context of the span, and has no other way.
type derived struct{}

type derivedKey struct{}

// NewIDs implements the SDK's IDGenerator.
func (derived) NewIDs(ctx context.Context) (TraceID, SpanID) {
	c, _ := ctx.Value(derivedKey{}).(Context)
	return c.Trace, c.Span
}

// NewSpanID implements the SDK's IDGenerator.
func (derived) NewSpanID(ctx context.Context, _ TraceID) SpanID {
	c, _ := ctx.Value(derivedKey{}).(Context)
	return c.Span
}
