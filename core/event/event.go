// Package event holds the facts and commands that the cores exchange.
//
// Facts are in the past tense, commands in the imperative. An Event's Time is
// the nominal experiment time at which its receiver takes it: a sender adds the
// modelled delay of the hop, so the bus's own latency never enters a result.
package event

import (
	"fmt"
	"strings"

	"github.com/spotserve/spotserve/core/vtime"
)

// SchemaVersion is the newest version of events that this build plays a part in.
// In a run everybody writes the version that the run was started under
// (RunStarted.Schema).
//
//	1  what a cloud says of a node is among the facts of the fleet
//	2  it is among the facts of that node; runs have limits (experiment.Limits)
const SchemaVersion = 2

// ReadableVersion is the newest version that this build reads: what it does not
// know of the next one is left out of account.
const ReadableVersion = SchemaVersion + 1

// Event is the envelope of a payload.
type Event struct {
	Run     string
	Source  string // who said it: "replayer", "planner", "cloud", or the worker's node
	Seq     uint64 // counts the events of Source in this run, from FirstSeq
	To      string // the node that a command is for, or "cloud"; empty on facts
	Time    vtime.Time
	Cause   ID  // the event that led to this one; zero for the first of a chain
	Version int // of the run; 0 stands for SchemaVersion

	// Watermark promises that Source will send nothing with a lower Time,
	// unless a command it has not seen yet makes it. Seen is the highest Seq
	// of the planner that went into the promise.
	Watermark vtime.Time
	Seen      uint64
	// Term is the planner's leadership of the run under which this was
	// published; 0 where it does not matter.
	Term uint64

	Body Body
}

// FirstSeq is the number before the first of a worker's incarnation: its
// process, counted from 0 and from 1 for those that joined a run in progress. A
// new process numbers its events above all of the ones before.
func FirstSeq(incarnation uint64) uint64 { return incarnation << 32 }

// Incarnation is which of its source's processes published the event.
func (e Event) Incarnation() uint64 { return e.Seq >> 32 }

// ID names an event within its run.
type ID struct {
	Source string
	Seq    uint64
}

func (id ID) String() string { return fmt.Sprintf("%s/%d", id.Source, id.Seq) }

// ID returns the event's name.
func (e Event) ID() ID { return ID{e.Source, e.Seq} }

// Names of the sources that are not nodes.
const (
	SourceReplayer = "replayer"
	SourcePlanner  = "planner"
	SourceCloud    = "cloud"
	// SourceCollector tells that a run is recorded.
	SourceCollector = "collector"
)

// IsNode reports whether source can be a node's name: nobody else speaks under
// it.
func IsNode(source string) bool {
	switch source {
	case "", SourceReplayer, SourcePlanner, SourceCloud, SourceCollector:
		return false
	}
	first, _, _ := strings.Cut(source, "/")
	return first != SourcePlanner && !(Event{Source: source}).FromOutside()
}

// Body is a payload.
type Body interface {
	// Kind names the payload; it is the last part of the event's subject.
	Kind() Kind
}

// Kind names a payload type in snake case, "request_completed" for example.
type Kind string

// Class is an event's place among events of the same instant: the lower goes
// first.
type Class int

const (
	classCompletion Class = iota // a worker's own end of a batch
	classResponse                // a worker's fact, at the planner
	classFleet
	classArrival
	classDispatch // a planner's command, at the worker
	classTimer
)

// ClassOf returns the class of an event with this body.
func ClassOf(b Body) Class {
	switch b := b.(type) {
	case TimerFired:
		if b.Completion {
			return classCompletion
		}
		return classTimer
	case RequestArrived:
		return classArrival
	case RunStarted, AcquisitionNoticed, InstanceAcquired, PreemptionNoticed, InstanceLost, ThroughputRequired, RunEnded,
		PreemptionCancelled, RebalanceRecommended, SpotCapacityOffered, SpotCapacityWithdrawn, InstanceLaunched, WorkerSilent, WorkerJoined:
		return classFleet
	case ApplyMigration, PrepareMigration, AssignRequests, ArrangeInterruption, StopPipeline, Drain, RequestFleet:
		return classDispatch
	default:
		return classResponse
	}
}

// Compare is the declared order of events: by time, then completion, response,
// fleet, arrival, dispatch, timer, then source and sequence. It is total, so
// neither the bus nor a map ever decides what happens first.
func Compare(a, b Event) int {
	switch {
	case a.Time != b.Time:
		return sign(a.Time < b.Time)
	case ClassOf(a.Body) != ClassOf(b.Body):
		return sign(ClassOf(a.Body) < ClassOf(b.Body))
	case a.Source != b.Source:
		return strings.Compare(a.Source, b.Source)
	case a.Seq != b.Seq:
		return sign(a.Seq < b.Seq)
	}
	return 0
}

func sign(less bool) int {
	if less {
		return -1
	}
	return 1
}
