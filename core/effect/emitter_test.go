package effect_test

import (
	"reflect"
	"testing"

	"github.com/spotserve/spotserve/core/effect"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/vtime"
)

func TestEmitterNumbersEventsAndKeepsTheOrder(t *testing.T) {
	cause := event.ID{Source: "replayer", Seq: 3}
	e := effect.Emitter{Run: "r", Source: "planner", Now: vtime.Seconds(1), Cause: cause}
	e.Fact(vtime.Seconds(1), event.WatermarkAdvanced{})
	e.Timer("plan", vtime.Seconds(9))
	e.Command("node-2", vtime.Seconds(2), event.Drain{})
	e.Completion("batch/0", vtime.Seconds(4))

	envelope := event.Event{Run: "r", Source: "planner", Cause: cause, Version: event.SchemaVersion}
	fact, command := envelope, envelope
	fact.Seq, fact.Time, fact.Body = 1, vtime.Seconds(1), event.WatermarkAdvanced{}
	command.Seq, command.Time, command.Body, command.To = 2, vtime.Seconds(2), event.Drain{}, "node-2"
	want := []effect.Effect{
		{Event: fact},
		{Timer: effect.SetTimer{Timer: "plan", At: vtime.Seconds(9)}},
		{Event: command},
		{Timer: effect.SetTimer{Timer: "batch/0", At: vtime.Seconds(4), Completion: true}},
	}
	if got := e.Take(); !reflect.DeepEqual(got, want) {
		t.Errorf("took\n%+v\nwant\n%+v", got, want)
	}
	if got := e.Take(); len(got) != 0 {
		t.Errorf("took %v a second time", got)
	}
	e.Fact(0, event.WatermarkAdvanced{})
	if got := e.Take()[0].Event.Seq; got != 3 {
		t.Errorf("the next event has number %d, want 3", got)
	}
}
