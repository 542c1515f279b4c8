package control_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/bus/membus"
	"github.com/spotserve/spotserve/platform/control"
	"github.com/spotserve/spotserve/platform/wire"
)

// TestPublish: what is published is on the control stream, at the sequence that
// names it from then on.
func TestPublish(t *testing.T) {
	b := membus.New(membus.Options{})
	defer b.Close()
	start := event.StartExperiment{Experiment: experiment.EndToEnd, Approach: "spotserve", Model: "20B", Trace: "As"}
	stop := event.StopExperiment{Run: "e2e-1"}
	for i, body := range []event.Body{start, stop} {
		seq, err := control.Publish(t.Context(), b, body)
		if err != nil || seq != uint64(i+1) {
			t.Fatalf("sequence %d, %v; want %d", seq, err, i+1)
		}
	}
	sub, err := b.Follow(t.Context(), bus.Control, bus.Position{}, wire.SubjectStart, wire.SubjectStop)
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Stop()
	if got, err := wire.DecodeStart((<-sub.C()).Data); err != nil || !reflect.DeepEqual(got, start) {
		t.Errorf("the start reads %+v, %v", got, err)
	}
	if got, err := wire.DecodeStop((<-sub.C()).Data); err != nil || got != stop {
		t.Errorf("the stop reads %+v, %v", got, err)
	}
}

func TestPublishRefusesWhatStartsAndStopsNothing(t *testing.T) {
	b := membus.New(membus.Options{})
	defer b.Close()
	for body, want := range map[event.Body]string{
		event.RunEnded{}:       "no control message",
		event.StopExperiment{}: "run",
	} {
		if _, err := control.Publish(t.Context(), b, body); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%T: %v, want an error with %q", body, err, want)
		}
	}
	if last, err := b.LastSeq(t.Context(), bus.Control); err != nil || last != 0 {
		t.Errorf("%d messages on the stream, %v", last, err)
	}
}
