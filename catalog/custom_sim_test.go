package catalog

import (
	"reflect"
	"testing"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/sim"
)

// play runs an experiment in virtual time and returns its events, but for its
// kind and its name.
func play(t *testing.T, spec experiment.Spec, timeline experiment.Timeline) []event.Event {
	t.Helper()
	spec.Kind, spec.Name = "", ""
	var log []event.Event
	err := sim.Run("r", spec, timeline, func(ev event.Event) error {
		log = append(log, ev)
		return nil
	})
	if err != nil {
		t.Fatalf("%s %s on %s: %v", spec.Approach, spec.Model.Name, spec.Trace, err)
	}
	return log
}

// TestPrintedExperimentsRunAlike: a published experiment and the file that
// Config prints of it have the same events.
func TestPrintedExperimentsRunAlike(t *testing.T) {
	for _, start := range publishedStarts() {
		text, err := Config(start)
		if err != nil {
			t.Fatal(err)
		}
		custom, err := ReadCustom("printed.yaml", text)
		if err != nil {
			t.Fatal(err)
		}
		spec, timeline := mustResolve(t, start)
		want := play(t, spec, timeline)
		spec, timeline = mustResolve(t, custom.Runs()[0].Start)
		if got := play(t, spec, timeline); len(got) < 100 || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v: the printed file makes other events, %d instead of %d", start, len(got), len(want))
		}
	}
}
