package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/spotserve/spotserve/core/event"
	pb "github.com/spotserve/spotserve/proto/spotserve/v1"
)

// EncodeControl returns a message under spot.control.> as one line of JSON with
// snake-case keys. The bodies are StartExperiment, StopExperiment,
// ExperimentAccepted, ExperimentRefused, RollCalled and ServicePresent.
func EncodeControl(b event.Body) ([]byte, error) {
	c := new(check)
	m := controlOut(c, b)
	if c.err != nil {
		return nil, fmt.Errorf("wire: encode %T: %w", b, c.err)
	}
	spaced, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("wire: encode %T: %w", b, plain(err))
	}
	// protojson varies its white space on purpose; compact JSON is always alike.
	var line bytes.Buffer
	if err := json.Compact(&line, spaced); err != nil {
		return nil, fmt.Errorf("wire: encode %T: %w", b, err)
	}
	return line.Bytes(), nil
}

// DecodeControl reads a message of a control subject: JSON if its first byte
// after white space is "{", else protobuf.
func DecodeControl(subject string, data []byte) (event.Body, error) {
	switch subject {
	case SubjectStart:
		return DecodeStart(data)
	case SubjectStop:
		return DecodeStop(data)
	case SubjectAccepted:
		return answer(data, new(pb.ExperimentAccepted), "accepted", acceptedIn)
	case SubjectRefused:
		return answer(data, new(pb.ExperimentRefused), "refused", refusedIn)
	case SubjectRollCalled:
		return answer(data, new(pb.RollCalled), "roll call", rollCalledIn)
	case SubjectPresent:
		return answer(data, new(pb.ServicePresent), "service present", servicePresentIn)
	}
	if strings.HasPrefix(subject, SubjectPresent+".") {
		return presentBody(subject, data)
	}
	return nil, fmt.Errorf("wire: %q is no control subject: allowed are %s, %s, %s, %s, %s, %s", subject,
		SubjectStart, SubjectStop, SubjectAccepted, SubjectRefused, SubjectRollCalled, SubjectPresent)
}

// presentBody reads an answer to a roll call on the subject of the one who
// answers: nobody answers for another.
func presentBody(subject string, data []byte) (event.Body, error) {
	body, err := answer(data, new(pb.ServicePresent), "service present", servicePresentIn)
	if err != nil {
		return nil, err
	}
	present, _ := body.(event.ServicePresent)
	if want, err := presentSubject(present); err != nil || want != subject {
		return nil, fmt.Errorf("wire: message on %s: %w: %s answers for the nodes %q", subject, ErrUnfit, present.Service, present.Nodes)
	}
	return body, nil
}

// DecodeStop reads a stop message, {"run":"e2e-1"} or the same in protobuf. It
// is as strict as DecodeStart.
func DecodeStop(data []byte) (event.StopExperiment, error) {
	m := new(pb.StopExperiment)
	if err := readRequest(data, m); err != nil {
		return event.StopExperiment{}, fmt.Errorf(`stop: %w; for example {"run":"e2e-1"}`, err)
	}
	c := new(check)
	s := event.StopExperiment{Run: c.text("run", m.Run)}
	if c.err != nil {
		return event.StopExperiment{}, fmt.Errorf(`stop: %w; for example {"run":"e2e-1"}`, c.err)
	}
	return s, nil
}

// answer reads what a service says. Unlike a request it may hold fields that a
// newer service has added.
func answer[M proto.Message, B event.Body](data []byte, m M, name string, in func(*check, M) B) (event.Body, error) {
	read := proto.Unmarshal
	if isJSON(data) {
		read = protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal
	}
	if err := read(data, m); err != nil {
		return nil, fmt.Errorf("wire: decode %s: %w", name, plain(err))
	}
	c := new(check)
	b := in(c, m)
	if c.err != nil {
		return nil, fmt.Errorf("wire: decode %s: %w", name, c.err)
	}
	return b, nil
}

func controlOut(c *check, b event.Body) proto.Message {
	switch b := b.(type) {
	case event.StartExperiment:
		return startOut(c, b)
	case event.StopExperiment:
		return &pb.StopExperiment{Run: c.text("run", b.Run)}
	case event.ExperimentAccepted:
		return acceptedOut(c, b)
	case event.ExperimentRefused:
		return refusedOut(c, b)
	case event.RollCalled:
		return &pb.RollCalled{Call: c.text("call", b.Call), Schema: versionOut(c, "schema", b.Schema)}
	case event.ServicePresent:
		return servicePresentOut(c, b)
	default:
		c.fail("body", "is a %T, which is no control message", b)
		return nil
	}
}

func acceptedOut(c *check, b event.ExperimentAccepted) *pb.ExperimentAccepted {
	return &pb.ExperimentAccepted{StartSeq: b.StartSeq, Run: c.text("run", b.Run), Schema: versionOut(c, "schema", b.Schema)}
}

func acceptedIn(c *check, m *pb.ExperimentAccepted) event.ExperimentAccepted {
	return event.ExperimentAccepted{StartSeq: m.StartSeq, Run: c.text("run", m.Run), Schema: versionIn(m.Schema)}
}

func refusedOut(c *check, b event.ExperimentRefused) *pb.ExperimentRefused {
	return &pb.ExperimentRefused{StartSeq: b.StartSeq, Reason: c.text("reason", b.Reason), Allowed: b.Allowed, Run: b.Run}
}

func refusedIn(c *check, m *pb.ExperimentRefused) event.ExperimentRefused {
	return event.ExperimentRefused{StartSeq: m.StartSeq, Reason: c.text("reason", m.Reason), Allowed: orNil(m.Allowed), Run: m.Run}
}

func rollCalledIn(c *check, m *pb.RollCalled) event.RollCalled {
	return event.RollCalled{Call: c.text("call", m.Call), Schema: versionIn(m.Schema)}
}

func servicePresentOut(c *check, b event.ServicePresent) *pb.ServicePresent {
	return &pb.ServicePresent{
		Call:    c.text("call", b.Call),
		Service: c.text("service", b.Service),
		Nodes:   c.texts("nodes", b.Nodes),
		Schema:  versionOut(c, "schema", b.Schema),
		Build:   b.Build,

		WallClock: b.WallClock,
	}
}

func servicePresentIn(c *check, m *pb.ServicePresent) event.ServicePresent {
	return event.ServicePresent{
		Call:    c.text("call", m.Call),
		Service: c.text("service", m.Service),
		Nodes:   c.texts("nodes", m.Nodes),
		Schema:  versionIn(m.Schema),
		Build:   m.Build,

		WallClock: m.WallClock,
	}
}
