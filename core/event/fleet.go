package event

import (
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/vtime"
)

// RunStarted opens a run and carries all that planner and workers need.
type RunStarted struct {
	Spec experiment.Spec
	// WallStart is the wall clock at experiment time 0, in Unix nanoseconds;
	// live runs are paced from it. 0 in virtual time.
	WallStart int64
	// Schema is the version of the run's events; 0 stands for SchemaVersion.
	Schema int
}

// AcquisitionNoticed says that instances will join at ReadyAt.
type AcquisitionNoticed struct {
	Instances []experiment.Instance
	ReadyAt   vtime.Time
}

// InstanceAcquired says that instances have joined.
type InstanceAcquired struct{ Instances []experiment.Instance }

// PreemptionNoticed says that nodes will go at Deadline.
type PreemptionNoticed struct {
	Nodes    []string
	Deadline vtime.Time
}

// InstanceLost says that nodes have gone, with all they held. An instance that
// was launched and never joined can be lost too.
type InstanceLost struct {
	Nodes    []string
	Released bool // given back by the planner, not taken by the cloud
}

// SpotCapacityOffered says that the cloud has spot instances to give, from now
// on. In a closed loop an availability trace is made of these.
type SpotCapacityOffered struct{ Nodes []string }

// SpotCapacityWithdrawn says that spot instances, in use or not, can be had until
// Deadline only.
type SpotCapacityWithdrawn struct {
	Nodes    []string
	Deadline vtime.Time
}

// InstanceLaunched says that the cloud starts instances that were asked for,
// expected to join at ReadyAt.
type InstanceLaunched struct {
	Instances []experiment.Instance
	ReadyAt   vtime.Time
}

// ThroughputRequired replaces, from From on, the throughput that the
// configuration has to sustain. It is known one grace period ahead, like every
// change of a trace.
type ThroughputRequired struct {
	RequestsPerSecond float64
	From              vtime.Time
}

// EndReason says why a run's input ended.
type EndReason string

// The reasons for the end of a run.
const (
	EndOfTrace EndReason = "trace"
	Stopped    EndReason = "stopped"
)

// RunEnded says that nothing more will arrive.
type RunEnded struct{ Reason EndReason }

// RequestID numbers the requests of a run from 0.
type RequestID uint64

// RequestArrived hands a request over: from here on it is accepted.
type RequestArrived struct {
	Request      RequestID
	PromptTokens int // 0 of a prompt that is text, until the planner bounds it
	OutputTokens int // the most, in a measured run; 0 there: the run's
	// Prompt is what a measured run answers; nil draws PromptTokens tokens.
	Prompt *experiment.Prompt
}

// Kind implements Body.
func (RunStarted) Kind() Kind            { return "run_started" }
func (AcquisitionNoticed) Kind() Kind    { return "acquisition_noticed" }
func (InstanceAcquired) Kind() Kind      { return "instance_acquired" }
func (PreemptionNoticed) Kind() Kind     { return "preemption_noticed" }
func (InstanceLost) Kind() Kind          { return "instance_lost" }
func (SpotCapacityOffered) Kind() Kind   { return "spot_capacity_offered" }
func (SpotCapacityWithdrawn) Kind() Kind { return "spot_capacity_withdrawn" }
func (InstanceLaunched) Kind() Kind      { return "instance_launched" }
func (ThroughputRequired) Kind() Kind    { return "throughput_required" }
func (RunEnded) Kind() Kind              { return "run_ended" }
func (RequestArrived) Kind() Kind        { return "request_arrived" }
