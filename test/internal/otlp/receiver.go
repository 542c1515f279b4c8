// Package otlp receives spans as the backend of a deployment does: OTLP over HTTP.
package otlp

import (
	"compress/gzip"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	spans "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Span is one as it was received.
type Span struct {
	Service    string
	Trace      string // ids in hexadecimal
	ID         string
	Parent     string // empty for the first of a trace
	Name       string
	Start, End time.Time
	Attributes map[string]string // without the prefix "spotserve."
	Links      []string          // trace/span
	Error      string
}

// Receiver keeps all that it is sent.
type Receiver struct {
	URL string

	mu    sync.Mutex
	spans []Span
	wrong []error
}

// Listen starts a receiver that stops with the test.
func Listen(t testing.TB) *Receiver {
	r := new(Receiver)
	server := httptest.NewServer(r)
	t.Cleanup(func() {
		server.Close()
		for _, err := range r.wrong {
			t.Error(err)
		}
	})
	r.URL = server.URL
	return r
}

// Spans returns what has come so far.
func (r *Receiver) Spans() []Span {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Span(nil), r.spans...)
}

// ServeHTTP implements http.Handler.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	in, err := read(q)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.wrong = append(r.wrong, fmt.Errorf("%s %s: %w", q.Method, q.URL, err))
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	for _, of := range in.GetResourceSpans() {
		service := attributes(of.GetResource().GetAttributes())["service.name"]
		for _, scope := range of.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				r.spans = append(r.spans, received(service, s))
			}
		}
	}
	answer, _ := proto.Marshal(new(collector.ExportTraceServiceResponse)) // an empty one
	w.Header().Set("Content-Type", "application/x-protobuf")
	_, _ = w.Write(answer)
}

func read(q *http.Request) (*collector.ExportTraceServiceRequest, error) {
	if q.Method != http.MethodPost || q.URL.Path != "/v1/traces" {
		return nil, fmt.Errorf("want POST /v1/traces")
	}
	var body io.Reader = q.Body
	if q.Header.Get("Content-Encoding") == "gzip" {
		unpacked, err := gzip.NewReader(q.Body)
		if err != nil {
			return nil, err
		}
		body = unpacked
	}
	data, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}
	in := new(collector.ExportTraceServiceRequest)
	return in, proto.Unmarshal(data, in)
}

func received(service string, s *spans.Span) Span {
	out := Span{
		Service: service, Trace: hex.EncodeToString(s.GetTraceId()), ID: hex.EncodeToString(s.GetSpanId()),
		Parent: hex.EncodeToString(s.GetParentSpanId()), Name: s.GetName(),
		Start: time.Unix(0, int64(s.GetStartTimeUnixNano())), End: time.Unix(0, int64(s.GetEndTimeUnixNano())),
		Attributes: attributes(s.GetAttributes()),
	}
	for _, l := range s.GetLinks() {
		out.Links = append(out.Links, fmt.Sprintf("%x/%x", l.GetTraceId(), l.GetSpanId()))
	}
	if s.GetStatus().GetCode() == spans.Status_STATUS_CODE_ERROR {
		out.Error = s.GetStatus().GetMessage()
	}
	return out
}

func attributes(list []*common.KeyValue) map[string]string {
	out := make(map[string]string, len(list))
	for _, a := range list {
		out[strings.TrimPrefix(a.GetKey(), "spotserve.")] = value(a.GetValue())
	}
	return out
}

func value(v *common.AnyValue) string {
	switch v := v.GetValue().(type) {
	case *common.AnyValue_StringValue:
		return v.StringValue
	case *common.AnyValue_IntValue:
		return fmt.Sprint(v.IntValue)
	case *common.AnyValue_DoubleValue:
		return fmt.Sprint(v.DoubleValue)
	case *common.AnyValue_BoolValue:
		return strconv.FormatBool(v.BoolValue)
	case *common.AnyValue_ArrayValue:
		var list []string
		for _, x := range v.ArrayValue.GetValues() {
			list = append(list, value(x))
		}
		return strings.Join(list, " ")
	}
	return ""
}
