package catalog

import (
	"fmt"
	"hash/fnv"
	"testing"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/sim"
)

// play runs a start in virtual time and returns the number of its events and a
// digest of all of them, but for the kind and the name of the experiment.
func play(t *testing.T, start event.StartExperiment) (events int, digest uint64) {
	t.Helper()
	spec, timeline := mustResolve(t, start)
	return playSpec(t, spec, timeline)
}

func playSpec(t *testing.T, spec experiment.Spec, timeline experiment.Timeline) (events int, digest uint64) {
	t.Helper()
	spec.Kind, spec.Name = "", ""
	h := fnv.New64a()
	err := sim.Run("r", spec, timeline, func(ev event.Event) error {
		events++
		_, err := fmt.Fprintf(h, "%+v\n", ev)
		return err
	})
	if err != nil {
		t.Fatalf("%s %s on %s: %v", spec.Approach, spec.Model.Name, spec.Trace, err)
	}
	return events, h.Sum64()
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
		want, wantDigest := play(t, start)
		got, digest := play(t, custom.Runs()[0].Start)
		if got != want || digest != wantDigest || got < 100 {
			t.Errorf("%+v: the printed file makes %d events, digest %x, want %d, %x", start, got, digest, want, wantDigest)
		}
	}
}
