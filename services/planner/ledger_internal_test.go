package planner

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/spotserve/spotserve/core/effect"
	"github.com/spotserve/spotserve/core/event"
	core "github.com/spotserve/spotserve/core/planner"
	"github.com/spotserve/spotserve/core/vtime"
	"github.com/spotserve/spotserve/platform/clock"
)

// script is a core that answers each request, and chooses a configuration whenever
// a pipeline exits. A notice calls for that, but for those of the node "spare".
type script struct {
	seq    uint64
	counts core.Counts
	load   core.Load
	stage  core.Stage
}

func (s *script) Counts() core.Counts { return s.counts }
func (s *script) Load() core.Load     { return s.load }
func (s *script) Fleet() core.Fleet   { return core.Fleet{Ready: 2, Silent: 1} }
func (s *script) Cause() core.Cause   { return core.Preemption }
func (s *script) Progress() (core.Stage, uint64) {
	return s.stage, 0
}
func (s *script) Running(event.Epoch, int) int { return 3 }

var epoch = event.Epoch{Term: 1, N: 1}

func (s *script) Step(now vtime.Time, ev event.Event) (out []effect.Effect) {
	say := func(b event.Body) {
		s.seq++
		out = append(out, effect.Effect{Event: event.Event{Seq: s.seq, Body: b}})
	}
	switch b := ev.Body.(type) {
	case event.PreemptionNoticed:
		if !slices.Contains(b.Nodes, "spare") {
			s.stage = core.Arranging
		}
	case event.PreemptionCancelled:
		s.stage = core.Steady
	case event.PipelineExited:
		s.stage = core.Starting
		s.load = core.Load{Pipelines: 1, Starting: true}
		say(event.ConfigChosen{Epoch: epoch})
		say(event.MigrationPlanned{Epoch: epoch, Estimate: 4 * time.Second, Steps: 1, ModelBytes: 10, CacheBytes: 20, DiskBytes: 30, ResumedRequests: 1, RequeuedRequests: 2})
	case event.RequestArrived:
		s.counts.Arrived++
		s.load.Queued++
	case event.BatchCompleted:
		s.counts.Completed++
		s.load.Queued--
		say(event.RequestCompleted{Record: event.RequestRecord{Request: b.Requests[0], Arrived: 0, Started: vtime.Seconds(2), Finished: now}})
	case event.StageStarted:
		s.stage, s.load.Starting = core.Steady, false
	}
	return out
}

// lead is a leadership of a run whose stream has the planner's first events.
type lead struct{ term, said uint64 }

func (l lead) Term() uint64         { return l.term }
func (l lead) Said(seq uint64) bool { return seq <= l.said }

// book opens a ledger at the instant 0.
func book(t *testing.T, l lead) (b *ledger, metrics *prometheus.Registry) {
	t.Helper()
	metrics = prometheus.NewPedanticRegistry()
	m := newMetrics()
	if err := m.register(metrics); err != nil {
		t.Fatal(err)
	}
	pace, err := clock.New(time.Now(), 1)
	if err != nil {
		t.Fatal(err)
	}
	return m.open("run", &script{}, l, pace), metrics
}

func (l *ledger) elect(term uint64) {
	l.Step(0, event.Event{Body: event.PlannerElected{Term: term}})
}

// shown are the metrics that are not 0: counters and gauges by their value,
// histograms by their count and sum.
func shown(t *testing.T, metrics *prometheus.Registry) map[string][]float64 {
	t.Helper()
	families, err := metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string][]float64)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			parts := []string{strings.TrimPrefix(f.GetName(), "spotserve_planner_")}
			for _, l := range m.GetLabel() {
				parts = append(parts, l.GetValue())
			}
			name := strings.Join(parts, " ")
			values := []float64{m.GetCounter().GetValue() + m.GetGauge().GetValue()}
			if h := m.GetHistogram(); h != nil {
				values = []float64{float64(h.GetSampleCount()), h.GetSampleSum()}
			}
			if values[0] != 0 {
				all[name] = values
			}
		}
	}
	delete(all, "step_seconds")
	return all
}

func mustShow(t *testing.T, metrics *prometheus.Registry, want map[string][]float64) {
	t.Helper()
	got := shown(t, metrics)
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if !slices.Equal(got[name], want[name]) {
			t.Errorf("%s: %v, want %v", name, got[name], want[name])
		}
	}
	for name := range want {
		if got[name] == nil {
			t.Errorf("%s is 0, want %v", name, want[name])
		}
	}
}

// TestNoticeToPlan: from the first notice that calls for a plan to that plan; not
// where the notice calls for none or was taken back, and not of what is replayed.
func TestNoticeToPlan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, metrics := book(t, lead{term: 1})
		l.elect(1)
		began := time.Now()
		play := func(at, nominal time.Duration, b event.Body) {
			time.Sleep(at - time.Since(began))
			l.Step(vtime.Time(nominal), event.Event{Time: vtime.Time(nominal), Body: b})
		}
		now := func(at time.Duration, b event.Body) { play(at, at, b) }
		now(1*time.Second, event.PipelineExited{}) // nobody has noticed anything
		now(2*time.Second, event.PreemptionNoticed{})
		now(3*time.Second, event.PreemptionNoticed{})
		now(5*time.Second, event.PipelineExited{}) // 3 s
		now(6*time.Second, event.PipelineExited{})
		now(7*time.Second, event.PreemptionNoticed{})
		now(8*time.Second, event.PreemptionCancelled{})
		now(9*time.Second, event.PipelineExited{})
		play(10*time.Second, 9750*time.Millisecond, event.PreemptionNoticed{}) // read a little later
		now(11*time.Second, event.PipelineExited{})                            // 1.25 s
		now(12*time.Second, event.StageStarted{})
		now(13*time.Second, event.PreemptionNoticed{Nodes: []string{"spare"}})
		now(20*time.Second, event.PipelineExited{})
		play(60*time.Second, 12*time.Second, event.PreemptionNoticed{}) // replayed
		play(61*time.Second, 13*time.Second, event.PipelineExited{})
		got := shown(t, metrics)
		for name, want := range map[string][]float64{
			"notice_to_plan_seconds":     {2, 4.25},
			"notice_to_decision_seconds": {5, 0.25},
		} {
			if !slices.Equal(got[name], want) {
				t.Errorf("%s: %v, want %v", name, got[name], want)
			}
		}
	})
}

// story is a request, an interruption and a plan, and another request that stays.
func story(l *ledger) {
	at := func(second float64, source string, b event.Body) {
		now := vtime.Seconds(second)
		l.Step(now, event.Event{Source: source, Time: now, Body: b})
	}
	at(0, "replayer", event.RequestArrived{})
	at(2, "a", event.BatchStarted{})
	at(5, "a", event.BatchCompleted{Requests: []event.RequestID{0}})
	at(6, "replayer", event.InstanceLost{})
	at(6, "planner/watch", event.WorkerSilent{Nodes: []string{"c", "d"}})
	at(7, "a", event.PipelineExited{})
	at(8, "replayer", event.RequestArrived{Request: 1})
	at(10, "a", event.ContextMigrated{Epoch: epoch, At: vtime.Seconds(10), Bytes: 5, DiskBytes: 6})
	at(10, "b", event.ContextMigrated{Epoch: event.Epoch{Term: 1}, At: vtime.Seconds(10)})
	at(12, "a", event.StageStarted{Epoch: epoch})
	l.ignore(event.Event{})
	l.giveUp(event.SourcesGivenUp{Sources: []string{"a", "b"}})
}

var told = map[string][]float64{
	"events_total request_arrived": {2}, "events_total batch_started": {1}, "events_total batch_completed": {1},
	"events_total instance_lost": {1}, "events_total worker_silent": {1}, "silent_workers_total": {2}, "events_total pipeline_exited": {1}, "events_total context_migrated": {2}, "events_total stage_started": {1},
	"ignored_events_total": {1}, "sources_given_up_total": {2},
	"requests_arrived_total": {2}, "requests_completed_total": {1},
	"request_latency_seconds": {1, 5}, "request_queue_seconds": {1, 2}, "batch_requests": {1, 3},
	"reconfigurations_total preemption": {1}, "reconfiguration_seconds": {1, 5},
	"migration_planned_seconds": {1, 4}, "migration_planned_bytes_total model": {10},
	"migration_planned_bytes_total cache": {20}, "migration_planned_bytes_total disk": {30},
	"migration_done_seconds": {1, 3}, "migration_done_bytes_total nodes": {5}, "migration_done_bytes_total disk": {6},
	"resumed_requests_total": {1}, "requeued_requests_total": {2},
	"queued_requests": {1}, "pipelines": {1}, "nodes ready": {2}, "nodes silent": {1},
}

// TestLedger counts what a leader takes, whether it is elected before or after it
// reads it: what the stream had before the first election is its to count.
func TestLedger(t *testing.T) {
	for name, play := range map[string]func(*ledger){
		"elected first": func(l *ledger) { l.elect(1); story(l) },
		"elected last":  func(l *ledger) { story(l); l.elect(1) },
	} {
		t.Run(name, func(t *testing.T) {
			l, metrics := book(t, lead{term: 1})
			play(l)
			mustShow(t, metrics, told)
			l.close()
			got := shown(t, metrics)
			if got["queued_requests"] != nil || got["nodes ready"] != nil || got["requests_arrived_total"] == nil {
				t.Errorf("after the run it shows %v", got)
			}
		})
	}
}

// TestTakeover: what had consequences on the stream before, an earlier planner has
// counted, and so all that came before it.
func TestTakeover(t *testing.T) {
	l, metrics := book(t, lead{term: 2, said: 2}) // of three events of the planner
	story(l)
	if got := shown(t, metrics); len(got) != 0 {
		t.Errorf("before it leads it shows %v", got)
	}
	l.elect(1)
	if got := shown(t, metrics); len(got) != 0 {
		t.Errorf("at the election of another one it shows %v", got)
	}
	l.elect(2)
	// The plan was said, in part, and the arrival after it may have been taken.
	mustShow(t, metrics, map[string][]float64{
		"events_total request_arrived": {1}, "events_total context_migrated": {2}, "events_total stage_started": {1},
		"requests_arrived_total": {1}, "ignored_events_total": {1}, "sources_given_up_total": {2},
		"migration_done_seconds": {1, 3}, "migration_done_bytes_total nodes": {5}, "migration_done_bytes_total disk": {6},
		"reconfiguration_seconds": {1, 5},
		"queued_requests":         {1}, "pipelines": {1}, "nodes ready": {2}, "nodes silent": {1},
	})
	l.Step(vtime.Seconds(20), event.Event{Time: vtime.Seconds(20), Body: event.BatchCompleted{Requests: []event.RequestID{1}}})
	got := shown(t, metrics)
	if !slices.Equal(got["requests_completed_total"], []float64{1}) || !slices.Equal(got["request_latency_seconds"], []float64{1, 20}) {
		t.Errorf("what it takes itself is counted as %v", got)
	}
}
