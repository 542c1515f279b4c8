package wire

import (
	"errors"
	"fmt"
	"slices"
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
	// SubjectPresent is where answers to a roll call of version 1 are. Others are
	// below it, each on a subject of its own (PresentFilter).
	SubjectPresent = "spot.control.service.present"
)

// PresentFilter matches the answers to roll calls:
//
//	spot.control.service.present.worker.<node>  of a worker, one for each node that it stands for
//	spot.control.service.present.<service>      of the others
const PresentFilter = SubjectPresent + ".>"

const serviceWorker = "worker"

func presentSubject(b event.ServicePresent) (string, error) {
	if b.Service == serviceWorker {
		if len(b.Nodes) != 1 {
			return "", fmt.Errorf("wire: subject of a worker's answer to a roll call: it names the nodes %q: want one an answer", b.Nodes)
		}
		return SubjectPresent + "." + serviceWorker + "." + token(b.Nodes[0]), nil
	}
	if b.Service == "" || len(b.Nodes) > 0 {
		return "", fmt.Errorf("wire: subject of an answer to a roll call: %q stands for the nodes %q: only a worker stands for nodes", b.Service, b.Nodes)
	}
	return SubjectPresent + "." + token(b.Service), nil
}

// ControlSubject returns the subject of a control message.
func ControlSubject(b event.Body) (string, error) {
	switch b := b.(type) {
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
		return presentSubject(b)
	}
	return "", fmt.Errorf("wire: %T is no control message and has no subject", b)
}

// Subject returns where an event of a run is published:
//
//	spot.run.<run>.fleet.<kind>               the fleet's facts, the replayer's and the cloud's watermarks;
//	                                          in version 1 also what a cloud says of a node
//	spot.run.<run>.request.<kind>             arrivals
//	spot.run.<run>.plan.<kind>                the planner's facts and watermarks
//	spot.run.<run>.worker.<node>.cmd.<kind>   commands to a node (To)
//	spot.run.<run>.worker.<node>.fact.<kind>  facts of a node (Source), and what its cloud says of it
//	spot.run.<run>.cloud.<kind>               what the planner asks the cloud for
//	spot.run.<run>.timer.<kind>               what acts when the planner reads it back: timers, elections
//	spot.run.<run>.record.<kind>              the collector's word
//
// A run id is made of letters, digits, "-" and "_". A node name is made of
// visible ASCII without "*" and ">"; in its token every other byte than a
// letter, digit, "-" or "_" is "%" and two hexadecimal digits, so a DNS name
// works: ip-10-0-0-1%2Eec2%2Einternal.
//
// An event that its source cannot say has no subject.
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
		if !event.IsNode(e.To) {
			return "", fmt.Errorf("to is %q, but %T is for a node", e.To, e.Body)
		}
		return saidBy(e, "worker."+token(e.To)+".cmd", event.SourcePlanner)
	case event.RequestFleet:
		if e.To != event.SourceCloud {
			return "", fmt.Errorf("to is %q, but only the cloud takes a %T", e.To, e.Body)
		}
		return saidBy(e, "cloud", event.SourcePlanner)
	}
	if e.To != "" {
		return "", fmt.Errorf("to is %q, but %T is not a command", e.To, e.Body)
	}
	switch b := e.Body.(type) {
	case event.PreemptionNoticed, event.InstanceLost, event.PreemptionCancelled, event.RebalanceRecommended:
		if node, ok := event.NoticedNode(e.Source); ok {
			return noticePlace(e, node)
		}
		return saidBy(e, "fleet", event.SourceReplayer, event.SourceCloud, event.SourcePlanner)
	case event.RunStarted, event.AcquisitionNoticed, event.InstanceAcquired, event.ThroughputRequired, event.RunEnded,
		event.SpotCapacityOffered, event.SpotCapacityWithdrawn, event.InstanceLaunched:
		return saidBy(e, "fleet", event.SourceReplayer, event.SourceCloud)
	case event.RequestArrived:
		return saidBy(e, "request", event.SourceReplayer)
	case event.ConfigChosen, event.MigrationPlanned, event.RequestCompleted, event.RequestUnfinished,
		event.RequestRefused, event.NodeTimeAccounted, event.RunFinished:
		return saidBy(e, "plan", event.SourcePlanner)
	case event.TimerFired, event.PlannerElected, event.SourcesGivenUp, event.WorkerSilent:
		if of, _, part := strings.Cut(e.Source, "/"); part && of == event.SourcePlanner {
			return "timer", nil
		}
		return saidBy(e, "timer", event.SourcePlanner)
	case event.RunRecorded:
		if b.Run != e.Run {
			return "", fmt.Errorf("run_recorded is of run %q", b.Run)
		}
		return saidBy(e, "record", event.SourceCollector)
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

// saidBy is place if the source of e is one of those who speak there.
func saidBy(e event.Event, place string, speakers ...string) (string, error) {
	if slices.Contains(speakers, e.Source) {
		return place, nil
	}
	return "", fmt.Errorf("source is %q, but only %s says this", e.Source, strings.Join(speakers, " or "))
}

func factPlace(source string) (string, error) {
	if source != "" && !event.IsNode(source) {
		return "", fmt.Errorf("source is %q, but only a node says this", source)
	}
	if err := checkNode("source", source); err != nil {
		return "", err
	}
	return "worker." + token(source) + ".fact", nil
}

// noticePlace is where a cloud's word of a node is: nobody is told of another
// node by it.
func noticePlace(e event.Event, node string) (string, error) {
	place, err := factPlace(node)
	if err != nil {
		return "", err
	}
	var about []string
	switch b := e.Body.(type) {
	case event.PreemptionNoticed:
		about = b.Nodes
	case event.InstanceLost:
		about = b.Nodes
	case event.PreemptionCancelled:
		about = b.Nodes
	case event.RebalanceRecommended:
		about = b.Nodes
	}
	if len(about) != 1 || about[0] != node {
		return "", fmt.Errorf("source is %q, but it is about %q", e.Source, about)
	}
	if e.Version == 1 {
		return "fleet", nil
	}
	return place, nil
}

// RunFilter matches everything of a run. In this and the other filters "*"
// stands for all runs or nodes; a run or node that no event can carry gives a
// filter that matches nothing.
func RunFilter(run string) string { return filter(run, "") }

// NoticeFilters match what the cloud of a node says of it, in runs from version 2
// on; before, it is among the facts of the fleet.
func NoticeFilters(run, node string) []string {
	var out []string
	for _, b := range []event.Body{event.PreemptionNoticed{}, event.InstanceLost{}, event.PreemptionCancelled{}, event.RebalanceRecommended{}} {
		out = append(out, kindFilter(run, "worker."+wild(node)+".fact", b))
	}
	return out
}

// FleetFilter matches the facts of the fleet, the replayer's and the cloud's
// watermarks.
func FleetFilter(run string) string { return filter(run, "fleet.") }

// RequestFilter matches the arrivals.
func RequestFilter(run string) string { return filter(run, "request.") }

// PlanFilter matches the planner's facts.
func PlanFilter(run string) string { return filter(run, "plan.") }

// CommandFilter matches the commands to a node.
func CommandFilter(run, node string) string { return filter(run, "worker."+wild(node)+".cmd.") }

// FactFilter matches the facts of a node, and what its cloud says of it.
func FactFilter(run, node string) string { return filter(run, "worker."+wild(node)+".fact.") }

// WorkerFacts matches the facts of all nodes.
func WorkerFacts(run string) string { return FactFilter(run, "*") }

// LossFilter matches the losses of nodes among the facts of the fleet.
func LossFilter(run string) string { return kindFilter(run, "fleet", event.InstanceLost{}) }

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

// RunOf names the run that a message on the subject is about; ok is false if it is
// about none.
func RunOf(subject string) (run string, ok bool) {
	rest, ok := strings.CutPrefix(subject, "spot.run.")
	if !ok {
		return "", false
	}
	run, _, _ = strings.Cut(rest, ".")
	return run, checkRun(run) == nil
}

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
