package trace_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spf13/pflag"
	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.uber.org/goleak"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/platform/trace"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOptionsAreChecked(t *testing.T) {
	tests := []struct {
		args string
		want string // in what is wrong; empty: nothing is
	}{
		{args: ""},
		{args: "--trace-endpoint=http://127.0.0.1:4318"},
		{args: "--trace-endpoint=https://collector.example/otlp/v1/traces --trace-sample=0.25"},
		{args: "--trace-sample=0"},
		{args: "--trace-sample=1.5", want: "--trace-sample 1.5: allowed are 0 to 1"},
		{args: "--trace-sample=-1", want: "allowed are 0 to 1"},
		{args: "--trace-sample=NaN", want: "allowed are 0 to 1"},
		{args: "--trace-endpoint=127.0.0.1:4318", want: "want http://host:port"},
		{args: "--trace-endpoint=grpc://127.0.0.1:4317", want: "want http://host:port"},
		{args: "--trace-endpoint=http://", want: "want http://host:port"},
		{args: "--trace-endpoint=http://host/?token=x", want: "want http://host:port"},
		{args: "--trace-endpoint=http://me:hush-hush@host:4318", want: "OTEL_EXPORTER_OTLP_HEADERS"},
		{args: "--trace-endpoint=http://me:hush-hush@host:43%", want: "not a URL"},
	}
	for _, tt := range tests {
		name := strings.ReplaceAll(tt.args, "hush-hush", "xxxxx") // names of tests are printed
		t.Run(name, func(t *testing.T) {
			var o trace.Options
			fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
			o.AddFlags(fs)
			if err := fs.Parse(strings.Fields(tt.args)); err != nil {
				t.Fatal(err)
			}
			err := o.Check()
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hush-hush") {
				t.Errorf("it says %v; want %s, and no password", err, tt.want)
			}
		})
	}
}

func TestOffByDefault(t *testing.T) {
	var o trace.Options
	o.AddFlags(pflag.NewFlagSet("test", pflag.ContinueOnError))
	tracer, err := o.Open(t.Context(), trace.Service{}, slog.Default())
	if err != nil || tracer != nil {
		t.Fatalf("got %v, %v; want no tracer", tracer, err)
	}
	if tracer.On() || tracer.Request("run", 1, trace.Context{}).Sampled || tracer.Reconfiguration("run", 1).Sampled || tracer.Batch("run", 1, 0, 1).Sampled {
		t.Error("no tracer is on, or samples")
	}
	tracer.Say(trace.Span{Context: trace.Context{Sampled: true}})
	if err := tracer.Close(); err != nil {
		t.Error(err)
	}
}

// sink keeps what it gets, or fails.
type sink struct {
	mu    sync.Mutex
	spans []sdk.ReadOnlySpan
	err   error
	got   chan struct{} // gets a value for each batch, if not nil
}

func (s *sink) ExportSpans(_ context.Context, spans []sdk.ReadOnlySpan) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.got != nil {
		defer func() { s.got <- struct{}{} }()
	}
	if s.err == nil {
		s.spans = append(s.spans, spans...)
	}
	return s.err
}

func (s *sink) Shutdown(context.Context) error { return nil }

func (s *sink) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func TestASpanIsSaidAsItIs(t *testing.T) {
	to := new(sink)
	tracer := trace.New(to, trace.Service{Name: "planner", Node: "node-0"}, 1, slog.Default())
	root := tracer.Request("run", 7, trace.Context{})
	other := tracer.Batch("run", 1, 0, 2)
	start := time.Unix(1000, 5)
	tracer.Say(trace.Span{
		Context: root.Place("queued", "1"), Parent: root.Span, Name: "queued", Start: start, End: start.Add(time.Second), Kind: trace.Producer,
		Links: []trace.Context{other}, Error: "broken", Attributes: []attribute.KeyValue{attribute.String("k", "v")},
	})
	tracer.Say(trace.Span{Context: root, Name: "request", Start: start, End: start.Add(-time.Second)})
	if err := tracer.Close(); err != nil {
		t.Fatal(err)
	}
	if len(to.spans) != 2 {
		t.Fatalf("%d spans, want 2", len(to.spans))
	}
	got := to.spans[0]
	if got.SpanContext().TraceID() != root.Trace || got.SpanContext().SpanID() != root.Place("queued", "1").Span || got.Parent().SpanID() != root.Span ||
		got.Name() != "queued" || !got.StartTime().Equal(start) || !got.EndTime().Equal(start.Add(time.Second)) || got.SpanKind() != trace.Producer ||
		len(got.Links()) != 1 || got.Links()[0].SpanContext.SpanID() != other.Span || got.Status().Description != "broken" ||
		len(got.Attributes()) != 1 || got.Attributes()[0].Value.AsString() != "v" {
		t.Errorf("got %+v", got)
	}
	resource := make(map[attribute.Key]string)
	for _, a := range got.Resource().Attributes() {
		resource[a.Key] = a.Value.AsString()
	}
	if resource["service.name"] != "planner" || resource["spotserve.node"] != "node-0" || resource["service.version"] == "" || resource["service.instance.id"] == "" {
		t.Errorf("the resource is %v", resource)
	}
	if first := to.spans[1]; first.Parent().IsValid() || first.SpanContext().SpanID() != root.Span || !first.EndTime().Equal(first.StartTime()) {
		t.Errorf("the first span is %+v; want no parent, and an end that is not before its start", first)
	}
}

// TestIDsAreForGood: services of different versions find the same traces.
func TestIDsAreForGood(t *testing.T) {
	tracer := trace.New(new(sink), trace.Service{}, 1, slog.Default())
	defer func() { _ = tracer.Close() }()
	user, _ := trace.Parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	for want, got := range map[string]trace.Context{
		"00-1bb62fa52bf50e98000732ac46bba3fe-e985bb5e2ac25c01-01": tracer.Request("e2e-1", 7, trace.Context{}),
		"00-1bb62fa52bf50e98000732ac46bba3fe-36e3608149206550-01": tracer.Request("e2e-1", 7, trace.Context{}).Place("wait", "1"),
		"00-4bf92f3577b34da6a3ce929d0e0e4736-74550afbc68d63c0-01": tracer.Request("e2e-1", 7, user),
		"00-af3926dd8c31033b55a887a75db0eaee-65f629270ff1b4df-01": tracer.Reconfiguration("e2e-1", 3),
		"00-f7cefdf613c8293d9bab982776680d25-7f362d6234127906-01": tracer.Batch("e2e-1", 3, 1, 12),
	} {
		if got.String() != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestTracesDiffer(t *testing.T) {
	tracer := trace.New(new(sink), trace.Service{}, 1, slog.Default())
	defer func() { _ = tracer.Close() }()
	seen := make(map[trace.Context]bool)
	for _, run := range []string{"a-1", "a-11", "a"} {
		for n := range uint64(20) {
			for _, c := range []trace.Context{
				tracer.Request(run, event.RequestID(n), trace.Context{}), tracer.Reconfiguration(run, n), tracer.Batch(run, 1, 1, n), tracer.Batch(run, n, 11, 0),
			} {
				if seen[c] {
					t.Errorf("%s comes twice", c)
				}
				seen[c] = true
			}
		}
	}
	a := tracer.Request("a", 1, trace.Context{})
	if a.Place("x", "yz") == a.Place("xy", "z") || a.Place("x") == a.Place("x", "") {
		t.Error("two places are one")
	}
}

// TestSampling is by the id alone, so two services agree; what is traced at a lower
// share is traced at a higher one.
func TestSampling(t *testing.T) {
	shares := []float64{0, 0.1, 0.5, 1}
	var tracers []*trace.Tracer
	for _, share := range append(shares, shares...) {
		tracer := trace.New(new(sink), trace.Service{}, share, slog.Default())
		t.Cleanup(func() { _ = tracer.Close() }) // it has no error to tell of
		tracers = append(tracers, tracer)
	}
	const n = 2000
	counts := make([]int, len(shares))
	for id := range event.RequestID(n) {
		before := false
		for i := range shares {
			here := tracers[i].Request("run", id, trace.Context{}).Sampled
			if there := tracers[i+len(shares)].Request("run", id, trace.Context{}).Sampled; here != there {
				t.Fatalf("two services do not agree on request %d", id)
			}
			if before && !here {
				t.Fatalf("request %d is traced at a lower share only", id)
			}
			before = here
			if here {
				counts[i]++
			}
		}
	}
	if counts[0] != 0 || counts[3] != n || counts[1] < n/20 || counts[1] > n/5 || counts[2] < n*2/5 || counts[2] > n*3/5 {
		t.Errorf("of %d requests are traced %v, at the shares %v", n, counts, shares)
	}
	if !tracers[0].Reconfiguration("run", 1).Sampled {
		t.Error("a reconfiguration is not traced")
	}
	unsampled, _ := trace.Parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00")
	if c := tracers[3].Request("run", 1, unsampled); c.Sampled || c.Trace != unsampled.Trace {
		t.Errorf("a request whose user does not sample is %+v", c)
	}
}

// TestAReceiverThatHangs holds nobody up, at work or at the end.
func TestAReceiverThatHangs(t *testing.T) {
	hang := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	}))
	defer server.Close()
	defer close(hang)
	var said bytes.Buffer
	o := trace.Options{Endpoint: server.URL, Sample: 1}
	tracer, err := o.Open(t.Context(), trace.Service{Name: "test"}, slog.New(slog.NewTextHandler(&said, nil)))
	if err != nil {
		t.Fatal(err)
	}
	for i := range event.RequestID(50_000) {
		tracer.Say(trace.Span{Context: tracer.Request("run", i, trace.Context{}), Name: "request", Start: time.Unix(1, 0), End: time.Unix(2, 0)})
	}
	if err := tracer.Close(); err != nil {
		t.Error(err)
	}
	http.DefaultClient.CloseIdleConnections()
	if !strings.Contains(said.String(), "spans were lost") || !strings.Contains(said.String(), "of=50000") {
		t.Errorf("it says %s; want that spans were lost", &said)
	}
}

// TestAnOutageIsToldOnce when it begins, and once when it ends.
func TestAnOutageIsToldOnce(t *testing.T) { synctest.Test(t, testOutage) }

func testOutage(t *testing.T) {
	var said bytes.Buffer
	to := &sink{got: make(chan struct{}, 1)}
	tracer := trace.New(to, trace.Service{Name: "test"}, 1, slog.New(slog.NewTextHandler(&said, nil)))
	n := event.RequestID(0)
	send := func(err error) {
		to.fail(err)
		n++
		tracer.Say(trace.Span{Context: tracer.Request("run", n, trace.Context{}), Name: "request"})
		<-to.got
	}
	for _, err := range []error{nil, context.DeadlineExceeded, context.DeadlineExceeded, nil, nil} {
		send(err)
	}
	if err := tracer.Close(); err != nil {
		t.Error(err)
	}
	text := said.String()
	if strings.Count(text, "takes no spans") != 1 || strings.Count(text, "answers again") != 1 || !strings.Contains(text, "spans_lost=2") ||
		!strings.Contains(text, "spans were lost\" spans=2 of=5") {
		t.Errorf("it says\n%s", text)
	}
}
