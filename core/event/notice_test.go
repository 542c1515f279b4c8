package event_test

import (
	"testing"

	"github.com/spotserve/spotserve/core/event"
)

func TestNoticeSourcesAreFromOutside(t *testing.T) {
	for source, want := range map[string]bool{
		event.SourceNotice("node-0"): true, "node-0": false, event.SourceReplayer: false, event.SourcePlanner: false, "planner/timer": false,
	} {
		if got := (event.Event{Source: source}).FromOutside(); got != want {
			t.Errorf("an event of %s is from outside: %t, want %t", source, got, want)
		}
	}
	if a, b := event.SourceNotice("node-0"), event.SourceNotice("node-1"); a == b {
		t.Errorf("two nodes' notices are both of %s", a)
	}
}
