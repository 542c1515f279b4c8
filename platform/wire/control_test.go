package wire_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/platform/wire"
	pb "github.com/spotserve/spotserve/proto/spotserve/v1"
)

// controlMessages are the messages that controlBodies are written as, in order.
var controlMessages = []proto.Message{
	new(pb.StartExperiment), new(pb.StopExperiment), new(pb.ExperimentAccepted), new(pb.ExperimentRefused),
	new(pb.RollCalled), new(pb.ServicePresent),
}

func TestRoundTripOfEveryControlBody(t *testing.T) {
	for i, b := range controlBodies {
		t.Run(string(b.Kind()), func(t *testing.T) {
			r := rand.New(rand.NewPCG(5, 6))
			for range 100 {
				want := random(r, b)
				subject, err := wire.ControlSubject(want)
				if err != nil {
					t.Fatal(err)
				}
				data, err := wire.EncodeControl(want)
				if err != nil {
					t.Fatal(err)
				}
				for form, data := range map[string][]byte{
					"JSON":        data,
					"spaced JSON": append([]byte("\n\t "), data...),
					"camel JSON":  viaMessage(t, data, controlMessages[i], protojson.Marshal),
					"protobuf":    viaMessage(t, data, controlMessages[i], proto.Marshal),
				} {
					got, err := wire.DecodeControl(subject, data)
					if err != nil {
						t.Fatalf("%s: %v", form, err)
					}
					if !reflect.DeepEqual(got, want) {
						t.Fatalf("%s\ngot  %+v\nwant %+v", form, got, want)
					}
				}
			}
		})
	}
}

// viaMessage turns JSON into another form of the same message.
func viaMessage(t *testing.T, data []byte, m proto.Message, marshal func(proto.Message) ([]byte, error)) []byte {
	t.Helper()
	if err := protojson.Unmarshal(data, m); err != nil {
		t.Fatal(err)
	}
	out, err := marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// JSON is told from protobuf by the first byte after white space, so no field
// of a control message may begin with such a byte.
func TestNoTagOfAControlMessageLooksLikeJSON(t *testing.T) {
	for _, m := range controlMessages {
		fields := m.ProtoReflect().Descriptor().Fields()
		for i := range fields.Len() {
			f := fields.Get(i)
			for _, wireType := range []protowire.Type{typeOf(f), protowire.BytesType} { // a list may be packed
				first := protowire.AppendTag(nil, f.Number(), wireType)[:1]
				if bytes.ContainsAny(first, " \t\r\n{") {
					t.Errorf("%s starts with the byte %q", f.FullName(), first)
				}
			}
		}
	}
}

func typeOf(f protoreflect.FieldDescriptor) protowire.Type {
	switch f.Kind() {
	case protoreflect.StringKind, protoreflect.MessageKind:
		return protowire.BytesType
	case protoreflect.Uint64Kind, protoreflect.Int64Kind:
		return protowire.VarintType
	}
	panic("a kind of field that control messages did not have: " + f.Kind().String())
}

func TestAnswersAreReadableText(t *testing.T) {
	for want, b := range map[string]event.Body{
		`{"start_seq":"7","run":"e2e-7","schema":"1"}`:                         event.ExperimentAccepted{StartSeq: 7, Run: "e2e-7", Schema: 1},
		`{"start_seq":"8","reason":"unknown model \"21B\"","allowed":["20B"]}`: event.ExperimentRefused{StartSeq: 8, Reason: `unknown model "21B"`, Allowed: []string{"20B"}},
		`{"call":"c1","service":"worker","nodes":["*"],"schema":"2","build":"v1","wall_clock":"5"}`: event.ServicePresent{
			Call: "c1", Service: "worker", Nodes: []string{"*"}, Schema: 2, Build: "v1", WallClock: 5,
		},
		`{"run":"e2e-1"}`: event.StopExperiment{Run: "e2e-1"},
		`{"e2e":{"approach":"spotserve","model":"20B","trace":"As"},"options":{"seed":"3","time_scale":60}}`: event.StartExperiment{
			Experiment: experiment.EndToEnd, Approach: "spotserve", Model: "20B", Trace: "As",
			Options: event.StartOptions{Seed: 3, TimeScale: 60},
		},
	} {
		got, err := wire.EncodeControl(b)
		if err != nil {
			t.Error(err)
		} else if string(got) != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// TestNobodyAnswersForAnother: an answer to a roll call is believed on the subject
// of the one who answers, and on that of version 1.
func TestNobodyAnswersForAnother(t *testing.T) {
	planner, worker := event.ServicePresent{Call: "c", Service: "planner"}, event.ServicePresent{Call: "c", Service: "worker", Nodes: []string{"a.b"}}
	both := worker
	both.Nodes = []string{"a.b", "c"}
	for _, tt := range []struct {
		subject string
		who     event.ServicePresent
		fits    bool
	}{
		{"planner", planner, true},
		{"worker.a%2Eb", worker, true},
		{"worker.c", worker, false},
		{"worker.%2A", worker, false},
		{"worker.a%2Eb", planner, false},
		{"worker", worker, false},
		{"worker.a%2Eb", both, false},
		{"collector", planner, false},
		{"planner.more", planner, false},
		{"", worker, false},
	} {
		data, err := wire.EncodeControl(tt.who)
		if err != nil {
			t.Fatal(err)
		}
		_, err = wire.DecodeControl("spot.control.service.present."+tt.subject, data)
		if tt.fits != (err == nil) || !tt.fits && !errors.Is(err, wire.ErrUnfit) {
			t.Errorf("%+v on %q: %v", tt.who, tt.subject, err)
		}
	}
	data, err := wire.EncodeControl(both)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := wire.DecodeControl(wire.SubjectPresent, data); err != nil {
		t.Errorf("as in version 1: %v", err)
	}
}

func TestAnswersMayHaveNewerFields(t *testing.T) {
	got, err := wire.DecodeControl(wire.SubjectAccepted, []byte(`{"startSeq":7,"run":"e2e-7","queue":2}`))
	if err != nil {
		t.Fatal(err)
	}
	if want := (event.ExperimentAccepted{StartSeq: 7, Run: "e2e-7", Schema: 1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestDecodeStop(t *testing.T) {
	for in, want := range map[string]string{
		"\n{\"run\":\"e2e-1\"}": "",
		"\x12\x05e2e-1":         "",
		``:                      `stop: the message is empty; for example {"run":"e2e-1"}`,
		`{}`:                    `stop: run is missing; for example {"run":"e2e-1"}`,
		`{"runn":"e2e-1"}`:      `stop: unknown key "runn" (did you mean "run"?): allowed are run; for example`,
		`{"run":1}`:             `stop: run is the number 1: must be a text in double quotes; for example`,
		`e2e-1`:                 `stop: the message does not start with { as JSON does, and as protobuf: `,
	} {
		got, err := wire.DecodeStop([]byte(in))
		switch {
		case want != "":
			wantError(t, err, want)
		case err != nil || got.Run != "e2e-1":
			t.Errorf("%q: got %+v, %v", in, got, err)
		}
	}
}

func TestControlRefuses(t *testing.T) {
	_, err := wire.EncodeControl(event.Drain{})
	wantError(t, err, "body is a event.Drain, which is no control message")
	_, err = wire.EncodeControl(nil)
	wantError(t, err, "which is no control message")
	_, err = wire.EncodeControl(event.StopExperiment{})
	wantError(t, err, "run is missing")
	_, err = wire.EncodeControl(event.StartExperiment{Experiment: "e3e"})
	wantError(t, err, `experiment is "e3e": allowed are e2e, ondemand, workload, ablation, custom`)
	_, err = wire.DecodeControl("spot.control.experiment.begin", nil)
	wantError(t, err, `"spot.control.experiment.begin" is no control subject: allowed are spot.control.experiment.start,`)
	_, err = wire.DecodeControl(wire.SubjectRefused, []byte(`{"start_seq":1}`))
	wantError(t, err, `decode refused: reason is missing`)
	_, err = wire.DecodeControl(wire.SubjectPresent, []byte(`{"call":3}`))
	wantError(t, err, `decode service present: `)
	if err != nil && strings.Contains(err.Error(), "\u00a0") {
		t.Errorf("a non-breaking space is left in %q", err)
	}
}
