package collector_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/vtime"
	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/services/collector"
)

// TestMapper: the rows of each fact, in milliseconds of experiment time.
func TestMapper(t *testing.T) {
	at := func(seq uint64, seconds float64, body event.Body) event.Event {
		return event.Event{Run: "e2e-1", Source: event.SourceReplayer, Seq: seq, Time: vtime.Seconds(seconds), Body: body}
	}
	record := event.RequestRecord{
		Request: 7, Arrived: vtime.Seconds(1), Started: vtime.Seconds(3), Finished: vtime.Seconds(11.5), Compute: 6 * time.Second,
		PromptTokens: 512, OutputTokens: 128, Committed: 32, Recomputed: 5, Interrupted: 2, Pipeline: 1, Config: config,
	}
	open := record
	open.Started, open.Finished, open.Pipeline, open.Compute = vtime.Never, vtime.Never, -1, 0
	row := store.RequestLatency{
		Run: "e2e-1", Request: 7, ArrivedMS: 1000, StartedMS: new(float64(3000)), FinishedMS: new(float64(11500)), LatencyMS: new(float64(10500)),
		QueueMS: 4500, ComputeMS: 6000, TokensIn: 512, TokensOut: 128, CommittedCarried: 32, TokensRecomputed: 5,
		Interruptions: 2, Pipeline: 1, Config: "1x1x4", Status: "completed",
	}
	openRow := row
	openRow.StartedMS, openRow.FinishedMS, openRow.LatencyMS = nil, nil, nil
	openRow.QueueMS, openRow.ComputeMS, openRow.Pipeline, openRow.Status = 0, 0, -1, "unfinished"
	fleet := func(seq uint64, node, kind, market string, due *float64) store.FleetEvent {
		return store.FleetEvent{Run: "e2e-1", Seq: seq, Node: node, Event: kind, Market: market, AtMS: 90000, DueMS: due}
	}
	two := []experiment.Instance{{Node: "a", Market: cost.Spot, GPUs: 4}, {Node: "b", Market: cost.OnDemand, GPUs: 4}}
	for _, c := range []struct {
		event event.Event
		want  store.Batch
	}{
		{at(1, 11.5, event.RequestCompleted{Record: record}), store.Batch{Requests: []store.RequestLatency{row}}},
		{at(1, 11.5, event.RequestCompleted{Record: record, Name: "chat-1", Output: []int32{5, 0, 77}, Text: "so"}), store.Batch{
			Requests: []store.RequestLatency{row},
			Outputs:  []store.RequestOutput{{Run: "e2e-1", Request: 7, Name: "chat-1", Tokens: "[5,0,77]", Text: "so"}},
		}},
		{at(1, 20, event.RequestUnfinished{Record: open}), store.Batch{Requests: []store.RequestLatency{openRow}}},
		{at(1, 2, event.RequestRefused{Request: 9, Reason: "no"}), store.Batch{Requests: []store.RequestLatency{
			{Run: "e2e-1", Request: 9, ArrivedMS: 2000, Pipeline: -1, Status: "refused"},
		}}},
		{at(2, 90, event.AcquisitionNoticed{Instances: two, ReadyAt: vtime.Seconds(120)}), store.Batch{Fleet: []store.FleetEvent{
			fleet(2, "a", "acquisition_noticed", "spot", new(float64(120000))), fleet(2, "b", "acquisition_noticed", "on-demand", new(float64(120000))),
		}}},
		{at(3, 90, event.InstanceAcquired{Instances: two[:1]}), store.Batch{Fleet: []store.FleetEvent{
			fleet(3, "a", "instance_acquired", "spot", nil),
		}}},
		{at(4, 90, event.PreemptionNoticed{Nodes: []string{"b"}, Deadline: vtime.Seconds(120)}), store.Batch{Fleet: []store.FleetEvent{
			fleet(4, "b", "preemption_noticed", "", new(float64(120000))),
		}}},
		{at(5, 90, event.InstanceLost{Nodes: []string{"b"}}), store.Batch{Fleet: []store.FleetEvent{
			fleet(5, "b", "instance_lost", "", nil),
		}}},
		{at(5, 90, event.InstanceLost{Nodes: []string{"b"}, Released: true}), store.Batch{Fleet: []store.FleetEvent{
			fleet(5, "b", "instance_released", "", nil),
		}}},
		{at(5, 90, event.InstanceLaunched{Instances: two, ReadyAt: vtime.Seconds(120)}), store.Batch{Fleet: []store.FleetEvent{
			fleet(5, "a", "instance_launched", "spot", new(float64(120000))), fleet(5, "b", "instance_launched", "on-demand", new(float64(120000))),
		}}},
		{at(5, 90, event.SpotCapacityOffered{Nodes: []string{"b"}}), store.Batch{Fleet: []store.FleetEvent{
			fleet(5, "b", "spot_capacity_offered", "spot", nil),
		}}},
		{at(5, 90, event.SpotCapacityWithdrawn{Nodes: []string{"b"}, Deadline: vtime.Seconds(120)}), store.Batch{Fleet: []store.FleetEvent{
			fleet(5, "b", "spot_capacity_withdrawn", "spot", new(float64(120000))),
		}}},
		{at(5, 90, event.PreemptionCancelled{Nodes: []string{"b"}}), store.Batch{Fleet: []store.FleetEvent{
			fleet(5, "b", "preemption_cancelled", "", nil),
		}}},
		{at(5, 90, event.RebalanceRecommended{Nodes: []string{"b"}}), store.Batch{Fleet: []store.FleetEvent{
			fleet(5, "b", "rebalance_recommended", "", nil),
		}}},
		{at(6, 120, event.NodeTimeAccounted{Node: "b", Market: cost.Spot, From: vtime.Seconds(60), To: vtime.Seconds(120), USD: 0.1}), store.Batch{
			Nodes: []store.NodeTime{{Run: "e2e-1", Node: "b", Market: "spot", FromMS: 60000, ToMS: 120000, USD: 0.1}},
		}},
		{at(7, 5, event.BatchStarted{Epoch: epoch}), store.Batch{}},
		{at(8, 5, event.RunEnded{}), store.Batch{}},
	} {
		var got store.Batch
		collector.NewMapper().Take(c.event, time.Now(), &got)
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s becomes\n%+v\nwant\n%+v", c.event.Body.Kind(), got, c.want)
		}
	}
}

// TestMapperFollowsARun from queued to its end, with what it cost.
func TestMapperFollowsARun(t *testing.T) {
	m, began := collector.NewMapper(), time.UnixMilli(1_700_000_000_000)
	var rows store.Batch
	m.TakeControl(event.ExperimentAccepted{StartSeq: 1, Run: "e2e-1"}, began, &rows)
	if m.Knows("e2e-1") {
		t.Error("a queued run has begun")
	}
	for _, ev := range history("e2e-1", 4) {
		m.Take(ev, began, &rows)
		if _, last := ev.Body.(event.RunFinished); m.Knows("e2e-1") == last {
			t.Errorf("after %s the run is known: %t", ev.Body.Kind(), !last)
		}
	}
	var states []string
	for i, r := range rows.Runs {
		states = append(states, r.Status)
		if i > 0 && r.Version <= rows.Runs[i-1].Version {
			t.Errorf("%s replaces nothing", r.Status)
		}
	}
	if got := strings.Join(states, " "); got != "queued running finished" {
		t.Errorf("the run is %s", got)
	}
	last := rows.Runs[2]
	if last.Model != "" || last.Approach != "spotserve" || last.Trace != "As" || last.TimeScale != 60 || last.StartedUnixMS != began.UnixMilli() ||
		last.DurationMS != 100_000 || last.Accepted != 4 || last.CostUSD != 0.05 || last.USDPerToken != 0.05/(4*640) {
		t.Errorf("the run's row is %+v", last)
	}
	if settings := rows.Runs[1].Settings; settings == "" || settings != last.Settings {
		t.Errorf("the settings are %q, then %q", settings, last.Settings)
	}
}

// TestSettingsTellRunsApart: whatever changes a result changes the settings.
func TestSettingsTellRunsApart(t *testing.T) {
	settings := func(change func(s *experiment.Spec)) string {
		spec := history("e2e-1", 0)[0].Body.(event.RunStarted).Spec
		change(&spec)
		var rows store.Batch
		collector.NewMapper().Take(event.Event{Run: "e2e-1", Body: event.RunStarted{Spec: spec}}, time.Now(), &rows)
		return rows.Runs[0].Settings
	}
	same := settings(func(*experiment.Spec) {})
	computes := func(seed uint64) string {
		return settings(func(s *experiment.Spec) {
			s.Compute, s.Transformer = experiment.Transformer, &experiment.TransformerModel{Weights: "synthetic:1", Sampling: experiment.Sampling{Seed: seed}}
		})
	}
	if one, other := computes(1), computes(2); one == same || one == other || one != computes(1) {
		t.Errorf("runs that compute tokens have the settings %s and %s", one, other)
	}
	for name, change := range map[string]func(s *experiment.Spec){
		"grace":      func(s *experiment.Spec) { s.Grace = time.Second },
		"rate":       func(s *experiment.Spec) { s.ArrivalRate = 2 },
		"throughput": func(s *experiment.Spec) { s.RequiredThroughput = 2 },
		"batch":      func(s *experiment.Spec) { s.BatchLimit = 8 },
		"batching":   func(s *experiment.Spec) { s.Batching = experiment.IdleOnly },
		"pool":       func(s *experiment.Spec) { s.PoolDepth = 2 },
		"tokens":     func(s *experiment.Spec) { s.OutputTokens = 1 },
		"drain":      func(s *experiment.Spec) { s.Drain = true },
		"commits":    func(s *experiment.Spec) { s.CommitInterval = 8 },
		"engine":     func(s *experiment.Spec) { s.Engine.EngineStart = time.Second },
		"delays":     func(s *experiment.Spec) { s.Delays.Send = time.Second },
		"profile":    func(s *experiment.Spec) { s.Profile.Name = "other" },
		"price":      func(s *experiment.Spec) { s.Instance.SpotUSDPerHour = 9 },
		"lengths":    func(s *experiment.Spec) { s.LongestOutput = 4096 },
		"objective":  func(s *experiment.Spec) { s.Objective = experiment.MinCost },
		"SLO":        func(s *experiment.Spec) { s.SLOP99 = time.Minute },
		"provision":  func(s *experiment.Spec) { s.Provision = experiment.ClosedLoop },
		"sweep":      func(s *experiment.Spec) { s.Sweep = []experiment.SweepValue{{Key: "rate", Value: "0.5"}} },
	} {
		if settings(change) == same {
			t.Errorf("runs with another %s have the same settings", name)
		}
	}
	for name, change := range map[string]func(s *experiment.Spec){
		"scale": func(s *experiment.Spec) { s.TimeScale = 240 },
		"pace":  func(s *experiment.Spec) { s.Virtual = true },
		"name":  func(s *experiment.Spec) { s.Name = "mine" },
		// What is said is what holds without being said.
		"objective": func(s *experiment.Spec) { s.Objective = experiment.MinLatency },
		"provision": func(s *experiment.Spec) {
			s.Provision, s.Provisioning = experiment.Replay, experiment.Provisioning{MaxInstances: 9}
		},
		"longest prompt": func(s *experiment.Spec) { s.LongestPrompt = s.PromptTokens },
	} {
		if settings(change) != same {
			t.Errorf("runs with another %s cannot be compared", name)
		}
	}
}

func TestSettingsOfAnExperimentOfOnesOwn(t *testing.T) {
	spec := history("custom-1", 0)[0].Body.(event.RunStarted).Spec
	spec.LongestPrompt, spec.LongestOutput = 900, 700
	spec.Objective, spec.SLOP99 = experiment.MeetSLO, 30*time.Second
	spec.Provision = experiment.ClosedLoop
	spec.Provisioning = experiment.Provisioning{
		MaxInstances: 12, CandidatePool: 2, OnDemand: true, SpotStart: 40 * time.Second, OnDemandStart: 2 * time.Minute,
	}
	spec.Sweep = []experiment.SweepValue{{Key: "rate", Value: "0.5"}, {Key: "grace", Value: `a "b"`}}
	var rows store.Batch
	collector.NewMapper().Take(event.Event{Run: "custom-1", Body: event.RunStarted{Spec: spec}}, time.Now(), &rows)
	want := `,"longest_prompt_tokens":900,"longest_output_tokens":700,"objective":"slo","slo_p99_s":30,` +
		`"provision":{"mode":"closed-loop","max_instances":12,"candidate_pool":2,"on_demand":true,"spot_start_s":40,"on_demand_start_s":120},` +
		`"sweep":{"rate":"0.5","grace":"a \"b\""}}`
	if got := rows.Runs[0].Settings; !strings.HasSuffix(got, want) {
		t.Errorf("got  %s\nwant it to end in %s", got, want)
	}
}

// TestFleetRowsOfSeveralSourcesHaveKeysOfTheirOwn: numbers count by source, and
// the table's key has no source in it.
func TestFleetRowsOfSeveralSourcesHaveKeysOfTheirOwn(t *testing.T) {
	m := collector.NewMapper()
	var b store.Batch
	for source, seq := range map[string]uint64{
		event.SourceReplayer: 7, event.SourceCloud: 7, event.SourcePlanner: 7, event.SourceNotice("b"): 1_800_000_000_000,
	} {
		m.Take(event.Event{Run: "e2e-1", Source: source, Seq: seq, Body: event.InstanceLost{Nodes: []string{"b"}}}, time.Time{}, &b)
	}
	keys := make(map[uint64]bool)
	for _, row := range b.Fleet {
		keys[row.Seq] = true
	}
	if len(b.Fleet) != 4 || len(keys) != 4 || !keys[7] {
		t.Errorf("%d rows with the keys %v, want four, and the replayer's as it is", len(b.Fleet), keys)
	}
}
