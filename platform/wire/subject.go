package wire

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spotserve/spotserve/core/event"
)

// The subjects of the control messages.
const (
	SubjectStart      = "spot.control.experiment.start"
	SubjectStop       = "spot.control.experiment.stop"
	SubjectAccepted   = "spot.control.experiment.accepted"
	SubjectRefused    = "spot.control.experiment.refused"
	SubjectRollCalled = "spot.control.service.roll_called"
	SubjectPresent    = "spot.control.service.present"
)

// ControlSubject returns the subject of a control message.
func ControlSubject(b event.Body) (string, error) {
	switch b.(type) {
	case event.StartExperiment:
		return SubjectStart, nil
	case event.StopExperiment:
		return SubjectStop, nil
	case event.ExperimentAccepted:
		return SubjectAccepted, nil
	case event.ExperimentRefused:
		return SubjectRefused, nil
	case event.RollCalled:
		return SubjectRollCalled, nil
	case event.ServicePresent:
		return SubjectPresent, nil
	}
	return "", fmt.Errorf("wire: %T is no control message and has no subject", b)
}

// Subject returns where an event of a run is published:
//
//	spot.run.<run>.fleet.<kind>               the fleet's facts, the replayer's and the cloud's watermarks
//	spot.run.<run>.request.<kind>             arrivals
//	spot.run.<run>.plan.<kind>                the planner's facts and watermarks
//	spot.run.<run>.worker.<node>.cmd.<kind>   commands to a node (To)
//	spot.run.<run>.worker.<node>.fact.<kind>  facts of a node (Source)
//	spot.run.<run>.cloud.<kind>               what the planner asks the cloud for
//	spot.run.<run>.timer.<kind>               what acts when the planner reads it back: timers, elections
//	spot.run.<run>.record.<kind>              the collector's word
//
// A run id is made of letters, digits, "-" and "_". A node name is made of
// visible ASCII without "*" and ">"; in its token every other byte than a
// letter, digit, "-" or "_" is "%" and two hexadecimal digits, so a DNS name
// works: ip-10-0-0-1%2Eec2%2Einternal.
func Subject(e event.Event) (string, error) {
	if err := checkRun(e.Run); err != nil {
		return "", fmt.Errorf("wire: subject of event %s: %w", e.ID(), err)
	}
	place, err := placeOf(e)
	if err != nil {
		return "", fmt.Errorf("wire: subject of event %s of run %q: %w", e.ID(), e.Run, err)
	}
	return "spot.run." + e.Run + "." + place + "." + string(e.Body.Kind()), nil
}

func placeOf(e event.Event) (string, error) {
	switch e.Body.(type) {
	case event.ApplyMigration, event.PrepareMigration, event.AssignRequests, event.ArrangeInterruption, event.StopPipeline, event.Drain:
		if err := checkNode("to", e.To); err != nil {
			return "", err
		}
		return "worker." + token(e.To) + ".cmd", nil
	case event.RequestFleet:
		if e.To != event.SourceCloud {
			return "", fmt.Errorf("to is %q, but only the cloud takes a %T", e.To, e.Body)
		}
		return "cloud", nil
	}
	if e.To != "" {
		return "", fmt.Errorf("to is %q, but %T is not a command", e.To, e.Body)
	}
	switch e.Body.(type) {
	case event.RunStarted, event.AcquisitionNoticed, event.InstanceAcquired, event.PreemptionNoticed,
		event.InstanceLost, event.ThroughputRequired, event.RunEnded,
		event.PreemptionCancelled, event.RebalanceRecommended,
		event.SpotCapacityOffered, event.SpotCapacityWithdrawn, event.InstanceLaunched:
		return "fleet", nil
	case event.RequestArrived:
		return "request", nil
	case event.ConfigChosen, event.MigrationPlanned, event.RequestCompleted, event.RequestUnfinished,
		event.RequestRefused, event.NodeTimeAccounted, event.RunFinished:
		return "plan", nil
	case event.TimerFired, event.PlannerElected, event.SourcesGivenUp, event.WorkerSilent:
		return "timer", nil
	case event.RunRecorded:
		return "record", nil
	case event.WorkerJoined, event.ContextMigrated, event.StageStarted, event.BatchStarted, event.TokensCommitted,
		event.BatchCompleted, event.PipelineExited, event.RequestsJoined, event.RequestsLeft:
		return factPlace(e.Source)
	case event.WatermarkAdvanced:
		switch e.Source {
		case event.SourceReplayer, event.SourceCloud:
			return "fleet", nil
		case event.SourcePlanner:
			return "plan", nil
		}
		return factPlace(e.Source)
	}
	return "", fmt.Errorf("%T does not travel in a run's events", e.Body)
}

func factPlace(source string) (string, error) {
	if source == event.SourceReplayer || source == event.SourcePlanner || source == event.SourceCloud {
		return "", fmt.Errorf("source is %q, but only a node says this", source)
	}
	if err := checkNode("source", source); err != nil {
		return "", err
	}
	return "worker." + token(source) + ".fact", nil
}

// RunFilter matches everything of a run. In this and the other filters "*"
// stands for all runs or nodes; a run or node that no event can carry gives a
// filter that matches nothing.
func RunFilter(run string) string { return filter(run, "") }

// FleetFilter matches the facts of the fleet, the replayer's and the cloud's
// watermarks.
func FleetFilter(run string) string { return filter(run, "fleet.") }

// RequestFilter matches the arrivals.
func RequestFilter(run string) string { return filter(run, "request.") }

// PlanFilter matches the planner's facts.
func PlanFilter(run string) string { return filter(run, "plan.") }

// CommandFilter matches the commands to a node.
func CommandFilter(run, node string) string { return filter(run, "worker."+wild(node)+".cmd.") }

// WorkerFacts matches the facts of all nodes.
func WorkerFacts(run string) string { return filter(run, "worker.*.fact.") }

// CloudFilter matches what the planner asks the cloud for.
func CloudFilter(run string) string { return filter(run, "cloud.") }

// TimerFilter matches what acts when the planner reads it back.
func TimerFilter(run string) string { return filter(run, "timer.") }

// ElectionFilter matches the elections of the run's planners.
func ElectionFilter(run string) string { return kindFilter(run, "timer", event.PlannerElected{}) }

// SilenceFilter matches the planner's word that workers are silent.
func SilenceFilter(run string) string { return kindFilter(run, "timer", event.WorkerSilent{}) }

// JoinFilter matches the joining of new processes for a node.
func JoinFilter(run, node string) string {
	return kindFilter(run, "worker."+wild(node)+".fact", event.WorkerJoined{})
}

// RecordFilter matches what the collector says.
func RecordFilter(run string) string { return filter(run, "record.") }

func filter(run, place string) string { return "spot.run." + wild(run) + "." + place + ">" }

func wild(name string) string {
	if name == "*" {
		return name
	}
	return token(name)
}

func checkRun(run string) error {
	if run == "" {
		return errors.New("run is missing")
	}
	for i := range len(run) {
		if !isPlain(run[i]) {
			return fmt.Errorf("run is %q: allowed are letters, digits, - and _", run)
		}
	}
	return nil
}

func checkNode(field, node string) error {
	if node == "" {
		return fmt.Errorf("%s is missing: a node's name is needed", field)
	}
	for i := range len(node) {
		if b := node[i]; b <= ' ' || b > '~' || b == '*' || b == '>' {
			return fmt.Errorf("%s is %q: allowed in a node's name is visible ASCII without * and >", field, node)
		}
	}
	return nil
}

// token makes one token of a name, different for every name. The empty name
// becomes "%", which no other does.
func token(name string) string {
	if name == "" {
		return "%"
	}
	var b strings.Builder
	for i := range len(name) {
		if isPlain(name[i]) {
			b.WriteByte(name[i])
		} else {
			fmt.Fprintf(&b, "%%%02X", name[i])
		}
	}
	return b.String()
}

func isPlain(b byte) bool {
	return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' || b == '-' || b == '_'
}

// RunStartedFilter matches the opening of a run.
func RunStartedFilter(run string) string { return kindFilter(run, "fleet", event.RunStarted{}) }

// RunFinishedFilter matches the closing of a run.
func RunFinishedFilter(run string) string { return kindFilter(run, "plan", event.RunFinished{}) }

// FinishedRun names the run that a message on the subject closes; ok is false if
// it closes none.
func FinishedRun(subject string) (run string, ok bool) {
	rest, ok := strings.CutPrefix(subject, "spot.run.")
	if !ok {
		return "", false
	}
	run, _, _ = strings.Cut(rest, ".")
	return run, subject == RunFinishedFilter(run)
}

// PlannerWatermarks matches the planner's watermarks.
func PlannerWatermarks(run string) string { return kindFilter(run, "plan", event.WatermarkAdvanced{}) }

func kindFilter(run, place string, b event.Body) string {
	return "spot.run." + wild(run) + "." + place + "." + string(b.Kind())
}
