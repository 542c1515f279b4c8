package replay_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/internal/fixture"
	"github.com/spotserve/spotserve/core/replay"
	"github.com/spotserve/spotserve/core/vtime"
)

func player(grace time.Duration, t experiment.Timeline) *replay.Player {
	return replay.NewPlayer("run-1", event.RunStarted{Spec: experiment.Spec{
		Grace: grace, PromptTokens: 512, OutputTokens: 128,
	}}, t)
}

// drain plays p to its end, one line an event.
func drain(p *replay.Player) []string {
	var out []string
	for ev, ok := p.Next(); ok; ev, ok = p.Next() {
		out = append(out, line(ev))
	}
	return out
}

func line(ev event.Event) string {
	s := fmt.Sprintf("%g %s", ev.Time.Seconds(), ev.Body.Kind())
	switch b := ev.Body.(type) {
	case event.AcquisitionNoticed:
		s += fmt.Sprintf(" %s for %g", b.Instances[0].Node, b.ReadyAt.Seconds())
	case event.InstanceAcquired:
		s += " " + b.Instances[0].Node
	case event.PreemptionNoticed:
		s += fmt.Sprintf(" %v for %g", b.Nodes, b.Deadline.Seconds())
	case event.InstanceLost:
		s += fmt.Sprintf(" %v", b.Nodes)
	case event.ThroughputRequired:
		s += fmt.Sprintf(" %g from %g", b.RequestsPerSecond, b.From.Seconds())
	case event.RequestArrived:
		s += fmt.Sprintf(" %d: %d+%d", b.Request, b.PromptTokens, b.OutputTokens)
	case event.RunEnded:
		s += " " + string(b.Reason)
	}
	return s
}

func TestPlaysChangesWithTheirNotices(t *testing.T) {
	timeline := experiment.Timeline{
		End: vtime.Seconds(100),
		Changes: []experiment.Change{
			fixture.Add(0, 0, 1),
			fixture.Add(20, 2),
			fixture.Remove(50, 0, 1),
			fixture.Add(60, 3),
			fixture.Remove(100, 2), // the run is over by then
		},
	}
	for _, tt := range []struct {
		grace time.Duration
		want  []string
	}{
		{30 * time.Second, []string{
			"0 run_started", "0 instance_acquired node-0", "0 acquisition_noticed node-2 for 20",
			"20 preemption_noticed [node-0 node-1] for 50", "20 instance_acquired node-2",
			"30 acquisition_noticed node-3 for 60", "50 instance_lost [node-0 node-1]",
			"60 instance_acquired node-3", "100 run_ended trace",
		}},
		// Without grace nothing is announced.
		{0, []string{
			"0 run_started", "0 instance_acquired node-0", "20 instance_acquired node-2",
			"50 instance_lost [node-0 node-1]", "60 instance_acquired node-3", "100 run_ended trace",
		}},
	} {
		got := drain(player(tt.grace, timeline))
		slices.Sort(got) // the order of one instant has its own test
		want := slices.Sorted(slices.Values(tt.want))
		if !slices.Equal(got, want) {
			t.Errorf("grace %s:\n%q\nwant\n%q", tt.grace, got, want)
		}
	}
}

func TestPlaysArrivalsInBetween(t *testing.T) {
	p := player(0, experiment.Timeline{
		End:     vtime.Seconds(10),
		Changes: []experiment.Change{fixture.Add(2, 0), fixture.Remove(5, 0)},
		Arrivals: []experiment.Arrival{
			{At: vtime.Seconds(1)},
			{At: vtime.Seconds(2), PromptTokens: 7, OutputTokens: 9}, // with the node, and after it
			{At: vtime.Seconds(2)},
			{At: vtime.Seconds(9.999)},
			{At: vtime.Seconds(10)}, // too late
		},
	})
	want := []string{
		"0 run_started", "1 request_arrived 0: 512+128", "2 instance_acquired node-0",
		"2 request_arrived 1: 7+9", "2 request_arrived 2: 512+128", "5 instance_lost [node-0]",
		"9.999 request_arrived 3: 512+128", "10 run_ended trace",
	}
	if got := drain(p); !slices.Equal(got, want) {
		t.Errorf("%q\nwant\n%q", got, want)
	}
}

// TestTheRequiredThroughput is known grace ahead, alone or with a change of the
// fleet, and before what happens to the fleet at the same instant.
func TestTheRequiredThroughput(t *testing.T) {
	first, remove := fixture.Add(0, 0, 1), fixture.Remove(60, 0)
	first.RequiredThroughput, remove.RequiredThroughput = 0.5, 0.6
	timeline := experiment.Timeline{End: vtime.Seconds(100), Changes: []experiment.Change{
		first,
		fixture.Add(30, 2),
		{At: vtime.Seconds(40), Kind: experiment.Throughput, RequiredThroughput: 0.8},
		remove,
		{At: vtime.Seconds(60), Kind: experiment.Throughput, RequiredThroughput: 0.7}, // the later of two counts
		{At: vtime.Seconds(100), Kind: experiment.Throughput, RequiredThroughput: 9},  // the run is over by then
	}}
	for _, tt := range []struct {
		grace time.Duration
		want  []string
	}{
		{0, []string{
			"0 run_started", "0 throughput_required 0.5 from 0", "0 instance_acquired node-0",
			"30 instance_acquired node-2", "40 throughput_required 0.8 from 40",
			"60 throughput_required 0.6 from 60", "60 throughput_required 0.7 from 60", "60 instance_lost [node-0]",
			"100 run_ended trace",
		}},
		{30 * time.Second, []string{
			"0 run_started", "0 throughput_required 0.5 from 0", "0 instance_acquired node-0", "0 acquisition_noticed node-2 for 30",
			"10 throughput_required 0.8 from 40",
			"30 throughput_required 0.6 from 60", "30 throughput_required 0.7 from 60",
			"30 instance_acquired node-2", "30 preemption_noticed [node-0] for 60",
			"60 instance_lost [node-0]", "100 run_ended trace",
		}},
		// What would have been announced before the start is announced there.
		{50 * time.Second, []string{
			"0 run_started", "0 throughput_required 0.5 from 0", "0 throughput_required 0.8 from 40",
			"0 instance_acquired node-0", "0 acquisition_noticed node-2 for 30",
			"10 throughput_required 0.6 from 60", "10 throughput_required 0.7 from 60", "10 preemption_noticed [node-0] for 60",
			"30 instance_acquired node-2", "60 instance_lost [node-0]", "100 run_ended trace",
		}},
	} {
		if got := drain(player(tt.grace, timeline)); !slices.Equal(got, tt.want) {
			t.Errorf("grace %s:\n%q\nwant\n%q", tt.grace, got, tt.want)
		}
	}
}

// TestWatermarksHold: events ascend in the declared order, and none comes
// before the watermark of the one before it.
func TestWatermarksHold(t *testing.T) {
	p := player(30*time.Second, fixture.WithArrivals(fixture.TraceAs(), 0.35))
	var last event.Event
	for n := uint64(1); ; n++ {
		peek := p.PeekTime()
		ev, ok := p.Next()
		if !ok {
			break
		}
		if ev.Time != peek || ev.Time < last.Watermark || n > 1 && event.Compare(last, ev) >= 0 {
			t.Fatalf("%s (%s, announced for %s) follows %s", ev.ID(), ev.Time, peek, last.ID())
		}
		if ev.Run != "run-1" || ev.Source != event.SourceReplayer || ev.Seq != n || ev.Version != event.SchemaVersion {
			t.Fatalf("event %d has the envelope %+v", n, ev)
		}
		last = ev
	}
	if last.Watermark != vtime.Never || p.PeekTime() != vtime.Never {
		t.Errorf("after the end the watermark is %s", last.Watermark)
	}
}

func TestStop(t *testing.T) {
	timeline := experiment.Timeline{
		End: vtime.Seconds(100), Changes: []experiment.Change{fixture.Add(0, 0), fixture.Remove(50, 0)},
		Arrivals: fixture.Even(10, 10, 9),
	}
	for _, tt := range []struct {
		name string
		now  float64
		want string
	}{
		// The watermark says that nothing comes before 20 s.
		{"before the next event", 12, "20 run_ended stopped"},
		{"later", 33, "33 run_ended stopped"},
		{"not past the trace's end", 500, "100 run_ended stopped"},
	} {
		p := player(0, timeline)
		for range 3 { // run_started, instance_acquired, the arrival at 10 s
			p.Next()
		}
		p.Stop(vtime.Seconds(tt.now))
		if got := drain(p); !slices.Equal(got, []string{tt.want}) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
		p.Stop(vtime.Seconds(1000))
		if got := drain(p); got != nil {
			t.Errorf("%s: a stopped player that is stopped again plays %q", tt.name, got)
		}
	}
}

// TestStopBeforeTheStart: a run that ends has begun.
func TestStopBeforeTheStart(t *testing.T) {
	p := player(0, experiment.Timeline{End: vtime.Seconds(100)})
	p.Stop(0)
	if got, want := drain(p), []string{"0 run_started", "0 run_ended stopped"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestPlaysPrompts: an arrival that brings a prompt has the prompt's length, not
// the run's.
func TestPlaysPrompts(t *testing.T) {
	prompt := &experiment.Prompt{Text: "hello"}
	p := player(0, experiment.Timeline{
		Arrivals: []experiment.Arrival{{At: vtime.Seconds(1), Prompt: prompt}, {At: vtime.Seconds(2), PromptTokens: 7, Prompt: prompt}},
		End:      vtime.Seconds(9),
	})
	var got []event.RequestArrived
	for ev, ok := p.Next(); ok; ev, ok = p.Next() {
		if b, arrived := ev.Body.(event.RequestArrived); arrived {
			got = append(got, b)
		}
	}
	want := []event.RequestArrived{
		{Request: 0, OutputTokens: 128, Prompt: prompt}, {Request: 1, PromptTokens: 7, OutputTokens: 128, Prompt: prompt},
	}
	if !slices.Equal(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}
