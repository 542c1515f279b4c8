package wire_test

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/platform/wire"
)

var places = []string{"fleet", "request", "cloud", "plan", "timer", "record", "cmd", "fact"}

// said is an event as the one who may say it says it, with its subject.
func said(t testing.TB, run, node string, b event.Body) (event.Event, string) {
	t.Helper()
	for _, place := range places {
		e := saying(run, node, place, b)
		if subject, err := wire.Subject(e); err == nil {
			return e, subject
		}
	}
	t.Fatalf("nobody says %s", b.Kind())
	return event.Event{}, ""
}

// TestAMessageIsBelievedOnItsOwnSubjectOnly: a copy of an event elsewhere, in
// another run, of another node, in another place, under another kind, is not.
func TestAMessageIsBelievedOnItsOwnSubjectOnly(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var subjects []string
	for _, run := range []string{"r", "s"} {
		for _, node := range []string{"a", "b"} {
			for _, b := range runBodies {
				_, subject := said(t, run, node, b)
				subjects = append(subjects, subject)
			}
		}
	}
	for _, b := range runBodies {
		e, own := said(t, "r", "a", b)
		if _, recorded := b.(event.RunRecorded); !recorded {
			e.Body = random(r, b)
		}
		data, err := wire.Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		for _, subject := range subjects {
			_, err := wire.DecodeMessage(subject, 1, data)
			if fits := subject == own; fits != (err == nil) || !fits && !errors.Is(err, wire.ErrUnfit) {
				t.Errorf("%s of %s on %s: %v", b.Kind(), e.Source, subject, err)
			}
		}
	}
}

// TestNobodySpeaksForAnother: what only a subject's owner may publish is of the
// owner, whatever the envelope says.
func TestNobodySpeaksForAnother(t *testing.T) {
	const own = "spot.run.r.worker.a.fact."
	for name, tt := range map[string]struct {
		subject string
		e       event.Event
	}{
		"a worker for another one":        {own + "batch_completed", event.Event{Source: "b", Body: event.BatchCompleted{Batch: 1}}},
		"a worker for the planner":        {own + "watermark_advanced", event.Event{Source: "planner", Body: event.WatermarkAdvanced{}}},
		"a worker's plan":                 {own + "run_finished", event.Event{Source: "a", Body: event.RunFinished{Reason: event.Stopped}}},
		"a worker's command":              {own + "drain", event.Event{Source: "planner", To: "b", Body: event.Drain{}}},
		"a worker's verdict":              {own + "worker_silent", event.Event{Source: "a", Body: event.WorkerSilent{Nodes: []string{"b"}}}},
		"a worker's arrival":              {own + "request_arrived", event.Event{Source: "a", Body: event.RequestArrived{}}},
		"a worker's loss of another node": {own + "instance_lost", event.Event{Source: "notice/a", Body: event.InstanceLost{Nodes: []string{"b"}}}},
		"a worker's cloud for another":    {own + "instance_lost", event.Event{Source: "notice/b", Body: event.InstanceLost{Nodes: []string{"b"}}}},
		"a worker's cloud as of old":      {own + "instance_lost", event.Event{Source: "notice/a", Version: 1, Body: event.InstanceLost{Nodes: []string{"a"}}}},
		"a user for the replayer":         {"spot.run.r.request.arrived", event.Event{Source: "replayer", Body: event.RequestArrived{}}},
		"a user as the replayer":          {"spot.run.r.request.request_arrived", event.Event{Source: "user/", Body: event.RequestArrived{}}},
		"another run":                     {own + "worker_joined", event.Event{Run: "s", Source: "a", Body: event.WorkerJoined{}}},
		"the collector of another run":    {"spot.run.r.record.run_recorded", event.Event{Source: "collector", Body: event.RunRecorded{Run: "s"}}},
	} {
		t.Run(name, func(t *testing.T) {
			tt.e.Seq = 1
			if tt.e.Run == "" {
				tt.e.Run = "r"
			}
			data, err := wire.Encode(tt.e)
			if err != nil {
				t.Fatal(err)
			}
			_, err = wire.DecodeMessage(tt.subject, 1, data)
			if !errors.Is(err, wire.ErrUnfit) || !strings.Contains(err.Error(), tt.subject) {
				t.Errorf("%v", err)
			}
		})
	}
}

// FuzzDecodeMessage: what is believed is what its subject says, for any subject
// and any bytes: the run, the kind, and the node where there is one.
func FuzzDecodeMessage(f *testing.F) {
	r := rand.New(rand.NewPCG(7, 8))
	for _, b := range runBodies {
		e, subject := said(f, "r", "node.1", b)
		if _, recorded := b.(event.RunRecorded); !recorded {
			e.Body = random(r, b)
		}
		data, err := wire.Encode(e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(subject, data)
		f.Add("spot.run.r.worker.node-2.fact."+string(b.Kind()), data)
	}
	f.Add("spot.run.r.request.arrived", []byte(`{"id":"a","prompt":"b"}`))
	f.Fuzz(func(t *testing.T, subject string, data []byte) {
		e, err := wire.DecodeMessage(subject, 1, data)
		if err != nil {
			return
		}
		tokens := strings.Split(subject, ".")
		if len(tokens) < 5 || tokens[2] != e.Run {
			t.Fatalf("%s is believed of run %q", subject, e.Run)
		}
		kind := tokens[len(tokens)-1]
		if kind != string(e.Body.Kind()) && e.Source != event.SourceUser {
			t.Fatalf("%s is believed as %s", subject, e.Body.Kind())
		}
		if tokens[3] == "request" && e.Source != event.SourceUser && e.Source != event.SourceReplayer {
			t.Fatalf("%s is believed of %s", subject, e.Source)
		}
		if tokens[3] != "worker" {
			return
		}
		node, ok := wire.NodeOfToken(tokens[4])
		if !ok {
			t.Fatalf("%s is believed, whose node cannot be", subject)
		}
		about, notice := event.NoticedNode(e.Source)
		switch tokens[5] {
		case "cmd":
			if e.Source != event.SourcePlanner || e.To != node {
				t.Fatalf("%s is believed of %s to %s", subject, e.Source, e.To)
			}
		case "fact":
			if e.Source != node && !(notice && about == node) {
				t.Fatalf("%s is believed of %s", subject, e.Source)
			}
		default:
			t.Fatalf("%s is believed", subject)
		}
	})
}
