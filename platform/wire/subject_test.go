package wire_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/platform/wire"
)

func TestSubject(t *testing.T) {
	const dns = "ip-10-0-0-1.ec2.internal"
	places := map[event.Kind]string{
		"run_started": "fleet", "acquisition_noticed": "fleet", "instance_acquired": "fleet",
		"preemption_noticed": "fleet", "instance_lost": "fleet", "preemption_cancelled": "fleet", "rebalance_recommended": "fleet",
		"throughput_required": "fleet", "run_ended": "fleet",
		"request_arrived":       "request",
		"spot_capacity_offered": "fleet", "spot_capacity_withdrawn": "fleet", "instance_launched": "fleet", "request_fleet": "cloud",
		"config_chosen": "plan", "migration_planned": "plan", "request_completed": "plan", "request_unfinished": "plan",
		"request_refused": "plan", "node_time_accounted": "plan", "run_finished": "plan",
		"apply_migration": "cmd", "prepare_migration": "cmd", "assign_requests": "cmd", "arrange_interruption": "cmd", "stop_pipeline": "cmd", "drain": "cmd",
		"context_migrated": "fact", "stage_started": "fact", "batch_started": "fact", "tokens_committed": "fact",
		"batch_completed": "fact", "pipeline_exited": "fact", "requests_joined": "fact", "requests_left": "fact", "watermark_advanced": "fact",
		"timer_fired": "timer", "planner_elected": "timer", "sources_given_up": "timer", "worker_silent": "timer", "worker_joined": "fact", "run_recorded": "record",
	}
	for _, b := range runBodies {
		place := places[b.Kind()]
		e := saying("e2e-1", dns, place, b)
		if place == "cmd" || place == "fact" {
			place = "worker.ip-10-0-0-1%2Eec2%2Einternal." + place
		}
		want := "spot.run.e2e-1." + place + "." + string(b.Kind())
		if got, err := wire.Subject(e); err != nil || got != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
}

// saying is an event as the one who may say it says it: of a node or to it.
func saying(run, node, place string, b event.Body) event.Event {
	source := map[string]string{
		"fleet": event.SourceReplayer, "request": event.SourceReplayer, "cloud": event.SourcePlanner, "plan": event.SourcePlanner,
		"timer": event.SourcePlanner, "record": event.SourceCollector, "cmd": event.SourcePlanner, "fact": node,
	}[place]
	e := event.Event{Run: run, Source: source, Seq: 1, Version: event.SchemaVersion, Body: b}
	switch place {
	case "cloud":
		e.To = event.SourceCloud
	case "cmd":
		e.To = node
	case "record":
		if _, ok := b.(event.RunRecorded); ok {
			e.Body = event.RunRecorded{Run: run}
		}
	}
	return e
}

// TestSubjectOfNotices: from version 2 on what a cloud says of a node is among the
// node's own facts, and it is about no other node.
func TestSubjectOfNotices(t *testing.T) {
	bodies := func(nodes ...string) []event.Body {
		return []event.Body{
			event.PreemptionNoticed{Nodes: nodes}, event.InstanceLost{Nodes: nodes},
			event.PreemptionCancelled{Nodes: nodes}, event.RebalanceRecommended{Nodes: nodes},
		}
	}
	notice := func(version int, b event.Body) (string, error) {
		return wire.Subject(event.Event{Run: "r", Source: event.SourceNotice("a.b"), Seq: 1, Version: version, Body: b})
	}
	for i, b := range bodies("a.b") {
		for version, want := range map[int]string{0: "worker.a%2Eb.fact.", 1: "fleet.", 2: "worker.a%2Eb.fact."} {
			want = "spot.run.r." + want + string(b.Kind())
			if got, err := notice(version, b); got != want || err != nil {
				t.Errorf("version %d: got %q, %v, want %q", version, got, err, want)
			}
		}
		if filter := wire.NoticeFilters("r", "a.b")[i]; filter != "spot.run.r.worker.a%2Eb.fact."+string(b.Kind()) {
			t.Errorf("filter %s of %s", filter, b.Kind())
		}
	}
	for _, b := range append(append(bodies("b"), bodies("a.b", "b")...), bodies()...) {
		_, err := notice(2, b)
		wantError(t, err, `source is "notice/a.b", but it is about [`)
	}
	for _, source := range []string{event.SourceNotice(""), event.SourceNotice("planner"), event.SourceNotice("notice/a")} {
		if got, err := wire.Subject(event.Event{Run: "r", Source: source, Seq: 1, Body: event.InstanceLost{Nodes: []string{source}}}); err == nil {
			t.Errorf("%s speaks on %s", source, got)
		}
	}
}

func TestSubjectOfWatermarks(t *testing.T) {
	for source, want := range map[string]string{
		event.SourceReplayer: "spot.run.e2e-1.fleet.watermark_advanced",
		event.SourcePlanner:  "spot.run.e2e-1.plan.watermark_advanced",
		event.SourceCloud:    "spot.run.e2e-1.fleet.watermark_advanced",
		"node-7":             "spot.run.e2e-1.worker.node-7.fact.watermark_advanced",
	} {
		got, err := wire.Subject(event.Event{Run: "e2e-1", Source: source, Seq: 1, Body: event.WatermarkAdvanced{}})
		if err != nil || got != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
}

func TestControlSubject(t *testing.T) {
	want := []string{
		"spot.control.experiment.start", "spot.control.experiment.stop", "spot.control.experiment.accepted",
		"spot.control.experiment.refused", "spot.control.service.roll_called", "spot.control.service.present.planner",
	}
	for i, b := range controlBodies {
		if present, ok := b.(event.ServicePresent); ok {
			present.Service = "planner"
			b = present
		}
		if got, err := wire.ControlSubject(b); err != nil || got != want[i] {
			t.Errorf("got %q, %v, want %q", got, err, want[i])
		}
	}
	_, err := wire.ControlSubject(event.Drain{})
	wantError(t, err, "event.Drain is no control message")
}

func TestSubjectRefuses(t *testing.T) {
	drain := func(run, to string) event.Event {
		return event.Event{Run: run, Source: "planner", Seq: 1, To: to, Body: event.Drain{}}
	}
	fact := func(source, to string) event.Event {
		return event.Event{Run: "r", Source: source, Seq: 1, To: to, Body: event.ContextMigrated{}}
	}
	for _, tt := range []struct {
		e    event.Event
		want string
	}{
		{drain("", "n"), `subject of event planner/1: run is missing`},
		{drain("a.b", "n"), `run is "a.b": allowed are letters, digits, - and _`},
		{drain("*", "n"), `run is "*": allowed are`},
		{drain("a b", "n"), `run is "a b": allowed are`},
		{drain("a>", "n"), `run is "a>": allowed are`},
		{drain("ä", "n"), `run is "ä": allowed are`},
		{drain("r", ""), `subject of event planner/1 of run "r": to is missing: a node's name is needed`},
		{drain("r", "*"), `to is "*": allowed in a node's name is visible ASCII without * and >`},
		{drain("r", "n.>"), `to is "n.>": allowed`},
		{drain("r", "n 1"), `to is "n 1": allowed`},
		{drain("r", "n\n"), `to is "n\n": allowed`},
		{drain("r", "nö"), `to is "nö": allowed`},
		{fact("", ""), `source is missing: a node's name is needed`},
		{fact("n*", ""), `source is "n*": allowed`},
		{fact("cloud", ""), `source is "cloud", but only a node says this`},
		{event.Event{Run: "r", Source: "planner", Seq: 1, To: "n", Body: event.RequestFleet{}}, `to is "n", but only the cloud takes a event.RequestFleet`},
		{fact("planner", ""), `source is "planner", but only a node says this`},
		{fact("planner/watch", ""), `source is "planner/watch", but only a node says this`},
		{fact("collector", ""), `source is "collector", but only a node says this`},
		{fact("user/", ""), `source is "user/", but only a node says this`},
		{fact("notice/n", ""), `source is "notice/n", but only a node says this`},
		{event.Event{Run: "r", Source: "n", Seq: 1, To: "n", Body: event.Drain{}}, `source is "n", but only planner says this`},
		{event.Event{Run: "r", Source: "n", Seq: 1, Body: event.InstanceLost{Nodes: []string{"n"}}}, `source is "n", but only replayer or cloud or planner says this`},
		{event.Event{Run: "r", Source: "user/", Seq: 1, Body: event.RequestArrived{}}, `source is "user/", but only replayer says this`},
		{event.Event{Run: "r", Source: "cloud", Seq: 1, Body: event.TimerFired{}}, `source is "cloud", but only planner says this`},
		{event.Event{Run: "r", Source: "collector", Seq: 1, Body: event.RunRecorded{Run: "s"}}, `run_recorded is of run "s"`},
		{fact("n", "m"), `to is "m", but event.ContextMigrated is not a command`},
		{event.Event{Run: "r", Body: event.RollCalled{}}, `event.RollCalled does not travel in a run's events`},
		{event.Event{Run: "r"}, `<nil> does not travel in a run's events`},
	} {
		got, err := wire.Subject(tt.e)
		if got != "" {
			t.Errorf("got the subject %q", got)
		}
		wantError(t, err, tt.want)
	}
}

// A node's token is the name in percent-encoding, so names never collide and
// come back.
func TestNodeTokensCanBeReadBack(t *testing.T) {
	for _, node := range []string{"n1", "a.b", "a%2Eb", "a-b_c", "host:4222", "10.0.0.1", "rack/3", "%", "..", "~!"} {
		subject, err := wire.Subject(event.Event{Run: "r", Source: "planner", Seq: 1, To: node, Body: event.Drain{}})
		if err != nil {
			t.Error(err)
			continue
		}
		parts := strings.Split(subject, ".")
		if len(parts) != 7 {
			t.Errorf("node %q: %q has %d tokens, want 7", node, subject, len(parts))
			continue
		}
		if got, err := url.PathUnescape(parts[4]); err != nil || got != node {
			t.Errorf("node %q comes back as %q, %v", node, got, err)
		}
	}
}

func TestFiltersMatchTheirSubjectsOnly(t *testing.T) {
	filters := map[string]string{
		"fleet": wire.FleetFilter("r"), "request": wire.RequestFilter("r"), "plan": wire.PlanFilter("r"),
		"cmd": wire.CommandFilter("r", "a.b"), "fact": wire.WorkerFacts("r"), "timer": wire.TimerFilter("r"),
		"record": wire.RecordFilter("r"), "cloud": wire.CloudFilter("r"),
	}
	for _, b := range runBodies {
		var e event.Event
		var subject string
		for place := range filters { // the one where it can be said
			e = saying("r", "a.b", place, b)
			var err error
			if subject, err = wire.Subject(e); err == nil {
				break
			}
		}
		if subject == "" {
			t.Fatalf("nobody says %s", b.Kind())
		}
		for place, filter := range filters {
			own := strings.Contains(subject, "."+place+".")
			if matches(filter, subject) != own {
				t.Errorf("%s matches %s: %t, want %t", filter, subject, !own, own)
			}
		}
		for filter, want := range map[string]bool{
			wire.RunFilter("r"): true, wire.RunFilter("*"): true, wire.RunFilter("s"): false,
			wire.RunFilter(""): false, wire.RunFilter(">"): false, wire.RunFilter("r.>"): false,
			wire.CommandFilter("*", "*"): e.To == "a.b", wire.CommandFilter("r", "a"): false, wire.CommandFilter("r", ""): false,
		} {
			if matches(filter, subject) != want {
				t.Errorf("%s matches %s: %t, want %t", filter, subject, !want, want)
			}
		}
	}
}

// matches is the rule of NATS: "*" is one token, ">" at the end one or more.
func matches(filter, subject string) bool {
	fs, ss := strings.Split(filter, "."), strings.Split(subject, ".")
	for i, f := range fs {
		switch {
		case i >= len(ss):
			return false
		case f == ">":
			return i == len(fs)-1
		case f != "*" && f != ss[i]:
			return false
		}
	}
	return len(fs) == len(ss)
}

// TestFinishedRun: only the end of a run closes it.
func TestFinishedRun(t *testing.T) {
	for subject, want := range map[string]string{
		"spot.run.e2e-1.plan.run_finished":                  "e2e-1",
		"spot.run.e2e-1.plan.run_finished.more":             "",
		"spot.run.e2e-1.plan.config_chosen":                 "",
		"spot.run.e2e-1.fleet.run_started":                  "",
		"spot.run.e2e-1.worker.plan.fact.plan.run_finished": "",
		"spot.control.experiment.start":                     "",
		"spot.run.":                                         "",
		"spot.run":                                          "",
	} {
		run, ok := wire.FinishedRun(subject)
		if ok != (want != "") || ok && run != want {
			t.Errorf("%s closes %q, %t; want %q", subject, run, ok, want)
		}
	}
}
