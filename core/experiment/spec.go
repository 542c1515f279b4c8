// Package experiment describes a run after every name has been looked up.
//
// A Spec is what the planner and the workers need; a Timeline is what the
// trace-replayer plays. The catalogue makes both from names or files.
package experiment

import (
	"time"

	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/topology"
	"github.com/spotserve/spotserve/core/vtime"
)

// Kind is the published experiment that a run belongs to.
type Kind string

// The kinds of experiments.
const (
	EndToEnd Kind = "e2e"
	OnDemand Kind = "ondemand"
	Workload Kind = "workload"
	Ablation Kind = "ablation"
	Custom   Kind = "custom"
)

// Approach is how a run answers a change of the fleet.
type Approach string

// The approaches.
const (
	SpotServe         Approach = "spotserve"
	Rerouting         Approach = "rerouting"
	Reparallelization Approach = "reparallelization"
)

// Quirks says whether a run repeats the artifact's known flaws.
type Quirks string

// The settings of quirks.
const (
	QuirksNone     Quirks = "none"
	QuirksArtifact Quirks = "artifact"
)

// Batching is the request manager's policy.
type Batching string

// The batching policies. The first two are static: nothing joins a running
// batch.
const (
	// Pooled tops up the pool of a busy pipeline: the artifact's --old-batching.
	Pooled Batching = "pooled"
	// IdleOnly gives requests to idle pipelines only.
	IdleOnly Batching = "idle-only"
	// Continuous lets requests join and leave a running batch at token borders;
	// KV memory bounds it.
	Continuous Batching = "continuous"
)

// Objective is what the parallelization controller looks for among the
// configurations.
type Objective string

// The objectives; "" is MinLatency.
const (
	// MinLatency takes the lowest latency that sustains the load (Algorithm 1).
	MinLatency Objective = "latency"
	// MeetSLO takes the cheapest configuration whose P99 meets Spec.SLOP99.
	MeetSLO Objective = "slo"
	// MinCost takes the cheapest configuration that sustains the load.
	MinCost Objective = "cost"
)

// Provision says who decides on the fleet.
type Provision string

// The ways to get a fleet; "" is Replay.
const (
	// Replay takes the instances that the availability trace hands out.
	Replay Provision = "replay"
	// ClosedLoop asks the cloud for instances and frees them (Algorithm 1,
	// lines 6 to 10); the availability trace is the spot capacity that the cloud
	// has to give.
	ClosedLoop Provision = "closed-loop"
)

// Provisioning bounds what a closed loop asks for.
type Provisioning struct {
	// MaxInstances is the most instances to hold at a time, both markets.
	// On-demand ones come on top for as long as spot instances that are to replace
	// them are started.
	MaxInstances  int
	CandidatePool int           // instances to keep beyond those that the configuration needs
	OnDemand      bool          // may ask for on-demand instances
	SpotStart     time.Duration // from a request to the joining of a spot instance
	OnDemandStart time.Duration // the same of an on-demand instance
}

// SweepValue is a setting that a sweep varies, with its value in one run.
type SweepValue struct {
	Key   string
	Value string
}

// Spec is a resolved experiment.
type Spec struct {
	Kind     Kind
	Name     string // the user's own name for the run, may be empty
	Approach Approach
	Trace    string // name of the availability trace or its file
	Level    int    // ablation level, 0 elsewhere
	Arrivals string // arrival kind: artifact, gamma, poisson, even, file
	Quirks   Quirks
	Seed     uint64

	TimeScale float64 // experiment seconds a wall second; 0 in virtual time
	Virtual   bool
	Drain     bool // run on after the end until every accepted request is done

	Model    cost.Model
	Profile  cost.Profile
	Instance cost.InstanceType
	Engine   cost.EngineCosts
	Delays   cost.Delays

	Grace              time.Duration // notice ahead of every availability event
	ArrivalRate        float64       // requests/s
	RequiredThroughput float64       // requests/s the configuration has to sustain
	BatchLimit         int           // largest B, and the running batch limit
	Batching           Batching
	PoolDepth          int // a pipeline's pool holds below PoolDepth*B
	PromptTokens       int // S_in of a request that names none, and what plans are made for
	OutputTokens       int // S_out, likewise
	// LongestPrompt and LongestOutput are the most tokens that a request of the
	// run may have: memory is kept for them. 0: PromptTokens and OutputTokens.
	LongestPrompt  int
	LongestOutput  int
	CommitInterval int // tokens between commits inside a batch
	// LargestFleet is the most GPUs that the trace ever offers: rerouting solves
	// its one configuration for it.
	LargestFleet int
	// MigrationBuffer is U_max: what a GPU may hold, in bytes, of context in
	// transit.
	MigrationBuffer int64
	// RateWindow makes the planner require the arrival rate of the last window
	// times Headroom instead of RequiredThroughput; 0 keeps to the script.
	RateWindow time.Duration
	Headroom   float64

	Objective    Objective
	SLOP99       time.Duration // target for the P99 of the latency; 0 names none
	Provision    Provision
	Provisioning Provisioning // of a closed loop

	Limits      Limits // on the requests of users
	Compute     Compute
	Transformer *TransformerModel // nil in a profiled run
	// Forced are the configurations to go through, one a change of the fleet,
	// instead of what the controller would choose; one that does not fit is passed
	// over. None in an experiment; tests of the engine have some.
	Forced []topology.ParallelConfig

	// Sweep is the run's point in the sweep that it belongs to; none elsewhere.
	Sweep []SweepValue

	Nodes []string   // every node of the availability trace, in node order
	End   vtime.Time // when the trace is done
}

// Instance is one node as the cloud hands it out.
type Instance struct {
	Node   string
	Market cost.Market
	GPUs   int
}

// ChangeKind says what an availability change does.
type ChangeKind string

// The kinds of availability changes.
const (
	Add        ChangeKind = "add"
	Remove     ChangeKind = "remove"
	Throughput ChangeKind = "throughput" // only the required throughput changes
)

// Change is one availability event of a trace.
type Change struct {
	At        vtime.Time
	Kind      ChangeKind
	Instances []Instance
	// RequiredThroughput in requests/s replaces the target from At on; 0 keeps it.
	RequiredThroughput float64
}

// Arrival is one request of a trace.
type Arrival struct {
	At           vtime.Time
	PromptTokens int
	OutputTokens int
	Prompt       *Prompt // of a measured run; nil draws one of PromptTokens
}

// Timeline is what the trace-replayer plays: both lists ascend by At.
type Timeline struct {
	Changes  []Change
	Arrivals []Arrival
	End      vtime.Time
}

// Measured reports whether the run computes tokens, so that durations are what
// they are.
func (s Spec) Measured() bool { return s.Compute == Transformer }

// LongestSequence is the most tokens that a request of the run may have, prompt
// and output.
func (s Spec) LongestSequence() int {
	return max(s.LongestPrompt, s.PromptTokens) + max(s.LongestOutput, s.OutputTokens)
}

// BoundsMigration reports whether migrations keep within MigrationBuffer: the
// baselines move nothing, and the ablation without the migration planner knows
// no bound.
func (s Spec) BoundsMigration() bool { return s.Approach == SpotServe && s.Level < 2 }

// Stateful reports whether interrupted requests keep their tokens and KV cache.
// The baselines, and the ablation without the interruption arranger, commit a
// request only when it completes.
func (s Spec) Stateful() bool { return s.Approach == SpotServe && s.Level < 3 }
