package event

import (
	"fmt"
	"time"

	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/migrate"
	"github.com/spotserve/spotserve/core/topology"
	"github.com/spotserve/spotserve/core/vtime"
)

// Epoch orders plans: the planner's term of leadership, then its plans.
type Epoch struct {
	Term uint64
	N    uint64
}

// Less reports whether e is older than o.
func (e Epoch) Less(o Epoch) bool {
	return e.Term < o.Term || e.Term == o.Term && e.N < o.N
}

func (e Epoch) String() string { return fmt.Sprintf("%d.%d", e.Term, e.N) }

// PlannerElected says that a planner leads the run from here on. What a planner
// of a lower term sets off after this counts for nothing.
type PlannerElected struct{ Term uint64 }

// SourcesGivenUp says that the planner goes on without sources that hold back
// events before Until: they have been silent for too long by the clock. It acts
// when it is read back, so whoever reads the stream again decides alike.
type SourcesGivenUp struct {
	Sources []string
	Until   vtime.Time
}

// WorkerSilent says that nobody has heard of the workers of nodes for too long
// by the clock. It acts when it is read back; what they still say counts for
// nothing until they join again.
type WorkerSilent struct{ Nodes []string }

// Candidate is one configuration with what the controller expects of it.
type Candidate struct {
	Config     topology.ParallelConfig
	Latency    time.Duration // l_exe of one batch of B
	Throughput float64       // requests/s of all pipelines
}

// ConfigChosen is the controller's decision and the alternatives that it beat.
type ConfigChosen struct {
	Epoch      Epoch
	Config     topology.ParallelConfig
	BatchLimit int
	// ChangeAt is the time of the availability event behind the decision.
	ChangeAt       vtime.Time
	DevicesChanged int // working devices that did not work before
	GPUs           int // GPUs that the controller could use
	Chosen         Candidate
	RunnersUp      []Candidate
	Why            string
	Pipelines      []PipelinePlace
}

// PipelinePlace says which nodes form a pipeline; Leader runs its batches.
type PipelinePlace struct {
	Pipeline int
	Leader   string
	Nodes    []string
}

// MigrationPlanned sums up the plan behind an epoch; its steps travel with the
// ApplyMigration commands of the nodes that take part.
type MigrationPlanned struct {
	Epoch    Epoch
	Begin    vtime.Time
	Deadline vtime.Time // when the first leaving node goes; vtime.Never if none
	// ReadyAt is when the last pipeline is expected to serve.
	ReadyAt           vtime.Time
	Estimate          time.Duration
	Steps             int
	ModelBytes        int64
	CacheBytes        int64
	DiskBytes         int64
	InterNodeBytes    int64
	BusiestNodeBytes  int64
	BusiestIntraBytes int64
	PeakBufferBytes   int64 // most context in transit on one GPU
	ResumedRequests   int   // requests whose KV cache moves along
	RequeuedRequests  int   // requests that go back to the queue
}

// ApplyMigration tells a node its part in a new configuration. No placements
// means that the node keeps nothing and stands by.
type ApplyMigration struct {
	Epoch      Epoch
	Config     topology.ParallelConfig
	BatchLimit int
	KVTokens   int // KV memory of a pipeline, in tokens, that bounds a continuous batch; 0 with static ones
	Begin      vtime.Time
	Placements []topology.Placement // of this node's devices
	Steps      []migrate.Step       // that this node sends or receives
	Pipelines  []PipelineStart      // pipelines that this node has a new stage of
	Keep       []int                // pipelines of this node that run on untouched
}

// PrepareMigration tells a node, in a measured run, what the migration that is
// being arranged is expected to bring it. It may fetch that ahead, while pipelines
// still decode, as far as the migration buffer goes; at the stop only the rest is
// missing. What then happens is up to the ApplyMigration that follows, and does not
// depend on what was fetched.
type PrepareMigration struct {
	Config     topology.ParallelConfig
	Placements []topology.Placement // of this node's devices
	Steps      []migrate.Step       // that this node receives
	// Resume are the requests whose KV cache is expected to come, by pipeline.
	Resume []PreparedPipeline
}

// PreparedPipeline lists the requests that a pipeline is expected to inherit.
type PreparedPipeline struct {
	Pipeline int
	Requests []RequestID
}

// PipelineStart says how one pipeline comes up.
type PipelineStart struct {
	Pipeline int
	Leader   bool // this node runs the pipeline's batches
	// EngineReadyAt is when the engine answers; StagesReadyAt is when each stage
	// has all its context. A first prefill may begin before the later stages
	// are complete, as long as it does not get there first.
	EngineReadyAt vtime.Time
	StagesReadyAt []vtime.Time
	// Resume is an interrupted batch with its KV cache. In a measured run every
	// node of the pipeline gets it, since each fetches its part of the cache; in
	// a profiled one the leader does.
	Resume []AssignedRequest
	// Devices are all placements of the pipeline, in the order of the positions:
	// whom the shards of a measured run talk to. A profiled run names none.
	Devices []topology.Placement
}

// ContextReadyAt is when all stages have their context.
func (p PipelineStart) ContextReadyAt() vtime.Time {
	var last vtime.Time
	for _, at := range p.StagesReadyAt {
		last = max(last, at)
	}
	return last
}

// AssignedRequest is a request as a pipeline gets it.
type AssignedRequest struct {
	Request      RequestID
	PromptTokens int
	OutputTokens int
	Committed    int // tokens that are already generated and kept
	// Prompt and Output, the committed tokens, go to the leader of a pipeline in
	// a measured run.
	Prompt *experiment.Prompt
	Output []int32
}

// AssignRequests puts requests into a pipeline's pool.
type AssignRequests struct {
	Epoch    Epoch
	Pipeline int
	Requests []AssignedRequest
}

// ArrangeInterruption asks a pipeline to stop just in time for a migration.
type ArrangeInterruption struct {
	Epoch    Epoch
	Pipeline int
	// Acquisition tells the two rules of section 4.1 apart: before an
	// acquisition a pipeline decodes until At, before a preemption so long
	// that the migration still fits before At. An acquisition at vtime.Never
	// calls an arrangement off: the pipeline runs on.
	Acquisition bool
	At          vtime.Time
	Migration   time.Duration // the estimate of the migration that follows
}

// StopPipeline ends a pipeline at once, because a node of it is gone. What it
// had computed beyond the last commit is lost.
type StopPipeline struct {
	Epoch    Epoch
	Pipeline int
}

// RequestFleet tells the cloud which fleet the planner wants (paper section 3.2,
// Algorithm 1, lines 7 to 10). It replaces what the planner said before, so saying
// it twice changes nothing.
type RequestFleet struct {
	// Instances is how many to have, those that will leave not counted. The
	// cloud gives spot instances as far as it has any.
	Instances int
	// OnDemand asks at the same time for on-demand instances in the place of
	// spot instances that are not there yet.
	OnDemand bool
	Release  []string // nodes that the planner gives back
}

// Drain tells a node that the run is over.
type Drain struct{}

// RequestRecord is the life of a request, told when it ends.
type RequestRecord struct {
	Request      RequestID
	Arrived      vtime.Time
	Started      vtime.Time // of its first batch; vtime.Never if there was none
	Finished     vtime.Time // of its response; vtime.Never if unfinished
	Compute      time.Duration
	PromptTokens int
	OutputTokens int
	Committed    int // tokens carried over interruptions
	Recomputed   int // tokens that were computed and lost
	Interrupted  int // how often
	Pipeline     int // the last one; -1 if there was none
	Config       topology.ParallelConfig
}

// RequestCompleted ends a request with its answer. What it says is known of a
// measured run only; Name is the user's id of the request.
type RequestCompleted struct {
	Record RequestRecord
	Name   string
	Output []int32
	Text   string // of Output, where the model has a tokenizer
}

// RequestUnfinished ends a request because its run is over.
type RequestUnfinished struct {
	Record RequestRecord
	Name   string
}

// RequestRefused ends a request that cannot be served at all.
type RequestRefused struct {
	Request RequestID
	Reason  string
	Name    string // the user's id of the request
}

// NodeTimeAccounted is one stretch of a node's life that is paid for.
type NodeTimeAccounted struct {
	Node   string
	Market cost.Market
	From   vtime.Time
	To     vtime.Time
	USD    float64
}

// RunFinished closes a run with its totals.
type RunFinished struct {
	Reason           EndReason
	Accepted         int
	Completed        int
	UnfinishedAtEnd  int
	Refused          int
	Lost             int // accepted requests without a terminal state: a defect
	Duplicated       int // second completions seen and dropped
	Dropped          int // of the unfinished: what the artifact would have forgotten, with its quirks on
	LateFacts        int
	Interruptions    int
	TokensRecomputed int
	CostUSD          float64
	TokensServed     int // prompt and output tokens of completed requests
	TokensChanged    int // committed tokens that were told again with another value: a defect
}

// Kind implements Body.
func (PlannerElected) Kind() Kind      { return "planner_elected" }
func (SourcesGivenUp) Kind() Kind      { return "sources_given_up" }
func (WorkerSilent) Kind() Kind        { return "worker_silent" }
func (ConfigChosen) Kind() Kind        { return "config_chosen" }
func (MigrationPlanned) Kind() Kind    { return "migration_planned" }
func (ApplyMigration) Kind() Kind      { return "apply_migration" }
func (PrepareMigration) Kind() Kind    { return "prepare_migration" }
func (AssignRequests) Kind() Kind      { return "assign_requests" }
func (ArrangeInterruption) Kind() Kind { return "arrange_interruption" }
func (StopPipeline) Kind() Kind        { return "stop_pipeline" }
func (RequestFleet) Kind() Kind        { return "request_fleet" }
func (Drain) Kind() Kind               { return "drain" }
func (RequestCompleted) Kind() Kind    { return "request_completed" }
func (RequestUnfinished) Kind() Kind   { return "request_unfinished" }
func (RequestRefused) Kind() Kind      { return "request_refused" }
func (NodeTimeAccounted) Kind() Kind   { return "node_time_accounted" }
func (RunFinished) Kind() Kind         { return "run_finished" }
