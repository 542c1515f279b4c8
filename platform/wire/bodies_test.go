package wire_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/core/event"
)

// runBodies are the payloads that travel in an envelope.
var runBodies = []event.Body{
	event.RunStarted{}, event.AcquisitionNoticed{}, event.InstanceAcquired{}, event.PreemptionNoticed{},
	event.InstanceLost{}, event.ThroughputRequired{}, event.RunEnded{},
	event.PreemptionCancelled{}, event.RebalanceRecommended{},
	event.SpotCapacityOffered{}, event.SpotCapacityWithdrawn{}, event.InstanceLaunched{}, event.RequestFleet{},
	event.RequestArrived{}, event.RequestCompleted{}, event.RequestUnfinished{}, event.RequestRefused{},
	event.ConfigChosen{}, event.MigrationPlanned{}, event.ApplyMigration{}, event.PrepareMigration{}, event.AssignRequests{},
	event.ArrangeInterruption{}, event.StopPipeline{}, event.Drain{}, event.NodeTimeAccounted{}, event.RunFinished{},
	event.ContextMigrated{}, event.StageStarted{}, event.BatchStarted{}, event.TokensCommitted{},
	event.BatchCompleted{}, event.PipelineExited{}, event.RequestsJoined{}, event.RequestsLeft{},
	event.WatermarkAdvanced{}, event.TimerFired{}, event.RunRecorded{}, event.PlannerElected{}, event.SourcesGivenUp{},
	event.WorkerSilent{}, event.WorkerJoined{},
}

// controlBodies are the payloads that travel on their own.
var controlBodies = []event.Body{
	event.StartExperiment{}, event.StopExperiment{}, event.ExperimentAccepted{}, event.ExperimentRefused{},
	event.RollCalled{}, event.ServicePresent{},
}

// The lists above drive all tests of the mapping, so a payload that core gains
// must not be missing from them.
func TestListsHoldEveryBodyOfCore(t *testing.T) {
	var listed []string
	for _, b := range slices.Concat(runBodies, controlBodies) {
		listed = append(listed, reflect.TypeOf(b).Name())
	}
	slices.Sort(listed)
	if declared := declaredBodies(t); !slices.Equal(listed, declared) {
		t.Errorf("bodies in core/event:\n%v\nbodies known to wire's tests:\n%v", declared, listed)
	}
}

// declaredBodies reads from core's source which types have a Kind method.
func declaredBodies(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("../../core/event/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("no source of core/event found: %v", err)
	}
	var found []string
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		src, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, src, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Recv == nil || fn.Name.Name != "Kind" {
				continue
			}
			found = append(found, fn.Recv.List[0].Type.(*ast.Ident).Name)
		}
	}
	slices.Sort(found)
	return found
}
