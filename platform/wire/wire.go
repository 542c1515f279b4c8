// Package wire turns the events of core into bytes and subjects, and back.
//
// Events of a run (Encode, Decode, Subject) are protobuf messages in an
// envelope. Control messages (EncodeControl, DecodeControl, DecodeStart,
// DecodeStop, ControlSubject) are written as JSON, so that the stock NATS
// command line shows readable text; JSON and protobuf are both read.
//
// Decoding is strict. A schema version above event.ReadableVersion, a body that
// this build does not know, a missing part, a number out of range: each is an
// error that names the field and its value. Fields that this build does not know
// are left out of account: a version that nobody may leave them out of is a
// higher one. Bad input never panics. What Decode accepts of the versions up to
// event.SchemaVersion, Encode writes again, and an empty list comes back as nil.
//
// The mapping has one pair of functions a message, xOut to the wire and xIn
// from it. Both check; *check keeps the first thing wrong and where it is.
package wire

import (
	"fmt"
	"math"

	"google.golang.org/protobuf/proto"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/vtime"
	pb "github.com/spotserve/spotserve/proto/spotserve/v1"
)

// Encode returns the bytes of an event under spot.run.>. Run, Source and Seq
// must be set; Version is the run's, 0 stands for event.SchemaVersion.
func Encode(e event.Event) ([]byte, error) {
	c := new(check)
	m := eventOut(c, e)
	if c.err != nil {
		return nil, fmt.Errorf("wire: encode event %s of run %q: %w", e.ID(), e.Run, c.err)
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("wire: encode event %s of run %q: %w", e.ID(), e.Run, plain(err))
	}
	return b, nil
}

// Decode is the inverse of Encode.
func Decode(b []byte) (event.Event, error) {
	m := new(pb.Event)
	if err := proto.Unmarshal(b, m); err != nil {
		return event.Event{}, fmt.Errorf("wire: decode %d bytes as an event: %w", len(b), plain(err))
	}
	c := new(check)
	e := eventIn(c, m)
	if c.err != nil {
		return event.Event{}, fmt.Errorf("wire: decode event %s/%d of run %q: %w", m.GetSource(), m.GetSeq(), m.GetRun(), c.err)
	}
	return e, nil
}

func eventOut(c *check, e event.Event) *pb.Event {
	version := versionOut(c, "version", e.Version)
	m := &pb.Event{
		Run:         c.text("run", e.Run),
		Source:      c.text("source", e.Source),
		Seq:         c.positive("seq", e.Seq),
		To:          e.To,
		TimeNs:      int64(e.Time),
		Version:     version,
		WatermarkNs: int64(e.Watermark),
		Seen:        e.Seen,
		Term:        e.Term,
	}
	if e.Cause != (event.ID{}) {
		m.Cause = &pb.EventId{Source: e.Cause.Source, Seq: e.Cause.Seq}
	}
	bodyOut(c, e.Body, m)
	return m
}

// versionOut takes a schema version to the wire; 0 stands for this build's.
func versionOut(c *check, field string, v int) uint64 {
	switch {
	case v == 0:
		return event.SchemaVersion
	case v < 0 || v > event.SchemaVersion:
		c.fail(field, "is %d: this build writes 1 to %d", v, event.SchemaVersion)
	}
	return uint64(v) //nolint:gosec // it is not negative
}

// versionIn takes a schema version from the wire; before there was a field for it
// there was version 1.
func versionIn(v uint64) int {
	return int(min(max(v, 1), math.MaxInt32)) //nolint:gosec // it fits
}

func eventIn(c *check, m *pb.Event) event.Event {
	// The version first: a newer writer may have bodies unknown here.
	switch v := m.GetVersion(); {
	case v == 0:
		c.fail("version", "is missing")
	case v > event.ReadableVersion:
		c.failFor(ErrTooNew, "version", "is %d: this build reads 1 to %d, so update it", v, event.ReadableVersion)
	}
	return event.Event{
		Run:       c.text("run", m.GetRun()),
		Source:    c.text("source", m.GetSource()),
		Seq:       c.positive("seq", m.GetSeq()),
		To:        m.GetTo(),
		Time:      vtime.Time(m.GetTimeNs()),
		Cause:     event.ID{Source: m.GetCause().GetSource(), Seq: m.GetCause().GetSeq()},
		Version:   int(m.GetVersion()),
		Watermark: vtime.Time(m.GetWatermarkNs()),
		Seen:      m.GetSeen(),
		Term:      m.GetTerm(),
		Body:      bodyIn(c, m),
	}
}
