package event

import "github.com/spotserve/spotserve/core/experiment"

// StartExperiment asks for a run. Names are as the user typed them; the
// trace-replayer checks them against the catalogue.
type StartExperiment struct {
	Experiment experiment.Kind
	Approach   string
	Model      string
	Trace      string
	Nodes      int    // of an on-demand fleet
	Level      int    // of an ablation
	YAML       string // of a custom experiment
	Options    StartOptions
}

// StartOptions are the settings of a run. Zero values ask for the experiment's
// own.
type StartOptions struct {
	Seed      uint64
	TimeScale float64
	Arrivals  string
	Quirks    string
	Batching  string
	PoolDepth int
	// RateWindowS is the window, in seconds, of an estimate of the arrival rate
	// that replaces the scripted required throughput.
	RateWindowS float64
	// MinGPUsWithoutMigrationPlanner gives the ablation levels without the
	// migration planner the model's minimum of GPUs of the same name.
	MinGPUsWithoutMigrationPlanner bool
	Name                           string
	Drain                          bool
	// Paths of the artifact's own files, on the trace-replayer's host.
	AvailabilityFile string
	ArrivalsFile     string
	ProfileFile      string
}

// StopExperiment ends a run early; what it measured is kept.
type StopExperiment struct{ Run string }

// ExperimentAccepted answers a start: the run is queued under its id.
type ExperimentAccepted struct {
	StartSeq uint64 // stream sequence of the start message
	Run      string
	Schema   int // version of the run's events; 0 stands for SchemaVersion
}

// ExperimentRefused answers a start that cannot run. With Run, it takes an
// acceptance back before the run's turn.
type ExperimentRefused struct {
	StartSeq uint64
	Reason   string
	Allowed  []string
	Run      string
}

// RollCalled asks all services to say who they are.
type RollCalled struct {
	Call   string
	Schema int // SchemaVersion of the caller
}

// ServicePresent answers a roll call.
type ServicePresent struct {
	Call    string
	Service string   // trace-replayer, planner, worker, collector
	Nodes   []string // of a worker: the nodes it stands for; "*" is every node
	Schema  int      // SchemaVersion of the service
	Build   string   // for people: a release, or a commit
	// WallClock is when it answers, by its host's clock, in Unix nanoseconds; 0: it
	// does not say.
	WallClock int64
}

// RunRecorded says that all rows of a run are in the store.
type RunRecorded struct {
	Run  string
	Rows int
}

// Kind implements Body.
func (StartExperiment) Kind() Kind    { return "start" }
func (StopExperiment) Kind() Kind     { return "stop" }
func (ExperimentAccepted) Kind() Kind { return "accepted" }
func (ExperimentRefused) Kind() Kind  { return "refused" }
func (RollCalled) Kind() Kind         { return "roll_called" }
func (ServicePresent) Kind() Kind     { return "service_present" }
func (RunRecorded) Kind() Kind        { return "run_recorded" }
