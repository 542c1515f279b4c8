package worker_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oklog/run"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/vtime"
	"github.com/spotserve/spotserve/platform/actor"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/bus/membus"
	"github.com/spotserve/spotserve/platform/notice"
	"github.com/spotserve/spotserve/platform/notice/open"
	"github.com/spotserve/spotserve/platform/obs"
	"github.com/spotserve/spotserve/platform/wire"
	"github.com/spotserve/spotserve/services/worker"
)

// mouth is a source that tells what a test says.
type mouth chan notice.Notice

func (m mouth) String() string { return "test" }

func (m mouth) Watch(ctx context.Context, emit func(notice.Notice)) error {
	for {
		select {
		case n := <-m:
			emit(n)
		case <-ctx.Done():
			return nil
		}
	}
}

// instance is a worker for node a with a source of notices, in a bubble.
type instance struct {
	t      *testing.T
	bus    *membus.Bus
	mouth  mouth
	seq    map[string]uint64
	schema int // of the runs that begin; 0: this build's
}

func onInstance(t *testing.T, test func(t *testing.T, i *instance)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		i := &instance{t: t, bus: membus.New(membus.Options{}), mouth: make(mouth), seq: make(map[string]uint64)}
		defer i.bus.Close()
		var g run.Group
		ready := new(obs.Readiness)
		err := worker.Setup(&g, worker.Options{
			Bus: i.bus, Nodes: []string{"a"}, Notices: []notice.Source{i.mouth}, Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(), Ready: ready,
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		g.Add(run.ContextHandler(ctx))
		ended := make(chan error, 1)
		go func() { ended <- g.Run() }()
		if err := ready.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		test(t, i)
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the worker ends with %v", err)
		}
	})
}

// tell hands a notice over, with its deadline so long from now.
func (i *instance) tell(kind notice.Kind, in time.Duration) {
	i.t.Helper()
	n := notice.Notice{Instance: "a", Kind: kind}
	if kind == notice.Preemption {
		n.Deadline = time.Now().Add(in)
	}
	i.mouth <- n
	synctest.Wait()
}

// begin starts a run on a and b, at ten times the clock. Replayer and planner
// hold nothing back.
func (i *instance) begin(name string) {
	i.t.Helper()
	i.say(name, event.SourceReplayer, 0, event.RunStarted{WallStart: time.Now().UnixNano(), Schema: i.schema, Spec: experiment.Spec{
		Kind: experiment.EndToEnd, Quirks: experiment.QuirksNone, Batching: experiment.Pooled, TimeScale: 10, Nodes: []string{"a", "b"},
	}})
	i.say(name, event.SourcePlanner, 0, event.WatermarkAdvanced{})
	synctest.Wait()
}

func (i *instance) say(run, source string, at float64, body event.Body) {
	i.t.Helper()
	i.seq[run+source]++
	ev := event.Event{
		Run: run, Source: source, Seq: i.seq[run+source], Time: vtime.Seconds(at), Watermark: vtime.Never, Version: event.SchemaVersion, Body: body,
	}
	if err := actor.Publish(i.t.Context(), i.bus, ev); err != nil {
		i.t.Fatal(err)
	}
	synctest.Wait()
}

// join has the fleet's facts say that nodes have joined.
func (i *instance) join(run string, at float64, nodes ...string) {
	i.t.Helper()
	var instances []experiment.Instance
	for _, n := range nodes {
		instances = append(instances, experiment.Instance{Node: n, Market: "spot", GPUs: 4})
	}
	i.say(run, event.SourceReplayer, at, event.InstanceAcquired{Instances: instances})
}

// heard lists what a run has heard of the instance: "10.000s preemption_noticed
// until 310.000s".
func (i *instance) heard(run string) (out []string) {
	i.t.Helper()
	sub, err := i.bus.Follow(i.t.Context(), bus.Runs, bus.Position{}, append(wire.NoticeFilters(run, "a"), wire.FleetFilter(run))...)
	if err != nil {
		i.t.Fatal(err)
	}
	defer sub.Stop()
	synctest.Wait()
	last := uint64(0)
	for len(sub.C()) > 0 {
		m := <-sub.C()
		ev, err := wire.DecodeMessage(m.Subject, m.Seq, m.Data)
		if err != nil {
			i.t.Fatal(err)
		}
		if !ev.FromOutside() {
			continue
		}
		if i.schema != 0 && ev.Version != i.schema {
			i.t.Errorf("%s on %s is of version %d", ev.ID(), m.Subject, ev.Version)
		}
		if ev.Source != event.SourceNotice("a") || ev.Seq <= last {
			i.t.Errorf("%s follows %d", ev.ID(), last)
		}
		last = ev.Seq
		line := fmt.Sprintf("%s %s", ev.Time, ev.Body.Kind())
		nodes := []string(nil)
		switch b := ev.Body.(type) {
		case event.PreemptionNoticed:
			line += " until " + b.Deadline.String()
			nodes = b.Nodes
		case event.PreemptionCancelled:
			nodes = b.Nodes
		case event.RebalanceRecommended:
			nodes = b.Nodes
		case event.InstanceLost:
			nodes = b.Nodes
		}
		if !slices.Equal(nodes, []string{"a"}) {
			i.t.Errorf("%s is about %v", line, nodes)
		}
		out = append(out, line)
	}
	return out
}

func (i *instance) mustHear(run string, want ...string) {
	i.t.Helper()
	if got := i.heard(run); !slices.Equal(got, want) {
		i.t.Errorf("%s heard\n%s\nwant\n%s", run, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestANoticeGoesToTheRun with the time that remains, in experiment time; at its
// deadline the node is lost.
func TestANoticeGoesToTheRun(t *testing.T) {
	onInstance(t, func(_ *testing.T, i *instance) {
		i.begin("e2e-1")
		i.join("e2e-1", 0, "a", "b")
		time.Sleep(time.Second)
		i.tell(notice.Rebalance, 0)
		i.tell(notice.Rebalance, 0)
		time.Sleep(time.Second)
		i.tell(notice.Preemption, 30*time.Second)
		time.Sleep(3 * time.Second)
		i.tell(notice.Preemption, 28*time.Second) // again, a second later: no news
		i.tell(notice.Preemption, 10*time.Second) // earlier
		time.Sleep(time.Minute)
		i.mustHear("e2e-1", "10.000s rebalance_recommended", "20.000s preemption_noticed until 320.000s",
			"50.000s preemption_noticed until 150.000s", "150.000s instance_lost")
	})
}

// TestACancelledNoticeIsTakenBack, and may come again, for later.
func TestACancelledNoticeIsTakenBack(t *testing.T) {
	onInstance(t, func(_ *testing.T, i *instance) {
		i.begin("e2e-1")
		i.join("e2e-1", 0, "a")
		i.tell(notice.Preemption, 10*time.Second)
		time.Sleep(time.Second)
		i.tell(notice.Cancelled, 0)
		time.Sleep(time.Second)
		i.tell(notice.Preemption, 20*time.Second)
		time.Sleep(time.Second)
		// Taken back and said anew before anybody could look.
		i.mouth <- notice.Notice{Instance: "a", Kind: notice.Cancelled}
		i.mouth <- notice.Notice{Instance: "a", Kind: notice.Preemption, Deadline: time.Now().Add(30 * time.Second)}
		time.Sleep(time.Minute)
		i.mustHear("e2e-1", "0.000s preemption_noticed until 100.000s", "10.000s preemption_cancelled",
			"20.000s preemption_noticed until 220.000s", "30.000s preemption_cancelled", "30.000s preemption_noticed until 330.000s",
			"330.000s instance_lost")
	})
}

// TestNoticesOfARunOfVersion1 are where its planner and collector look for them.
func TestNoticesOfARunOfVersion1(t *testing.T) {
	onInstance(t, func(t *testing.T, i *instance) {
		i.schema = 1
		i.begin("e2e-1")
		i.join("e2e-1", 0, "a", "b")
		i.tell(notice.Preemption, 10*time.Second)
		time.Sleep(time.Minute)
		i.mustHear("e2e-1", "0.000s preemption_noticed until 100.000s", "100.000s instance_lost")
		if m, found, err := i.bus.Newest(t.Context(), bus.Runs, wire.NoticeFilters("e2e-1", "a")[0]); found || err != nil {
			t.Errorf("%s, %v", m.Subject, err)
		}
		if _, found, err := i.bus.Newest(t.Context(), bus.Runs, "spot.run.e2e-1.fleet.preemption_noticed"); !found || err != nil {
			t.Errorf("no notice among the facts of the fleet: %v", err)
		}
	})
}

// TestANoticeThatStandsIsSaidAgain to every run in which the node is there or
// joins later, and to no other.
func TestANoticeThatStandsIsSaidAgain(t *testing.T) {
	onInstance(t, func(_ *testing.T, i *instance) {
		i.begin("now")
		i.join("now", 0, "a", "b")
		i.begin("later")
		i.join("later", 0, "b")
		i.tell(notice.Preemption, 20*time.Second)
		i.tell(notice.Rebalance, 0)
		time.Sleep(5 * time.Second)
		i.begin("new")
		i.join("new", 0, "a")
		i.join("later", 50, "a")
		i.mustHear("now", "0.000s preemption_noticed until 200.000s", "0.000s rebalance_recommended")
		i.mustHear("later", "50.000s rebalance_recommended", "50.000s preemption_noticed until 200.000s")
		i.mustHear("new", "0.000s rebalance_recommended", "0.000s preemption_noticed until 150.000s")
		// It goes and comes back in the trace before the deadline.
		i.say("new", event.SourceReplayer, 60, event.InstanceLost{Nodes: []string{"b", "a"}})
		time.Sleep(10 * time.Second)
		i.join("new", 100, "a")
		i.say("now", event.SourcePlanner, 150, event.RunFinished{Reason: event.EndOfTrace})
		time.Sleep(time.Minute)
		i.mustHear("now", "0.000s preemption_noticed until 200.000s", "0.000s rebalance_recommended")
		i.mustHear("later", "50.000s rebalance_recommended", "50.000s preemption_noticed until 200.000s", "200.000s instance_lost")
		i.mustHear("new", "0.000s rebalance_recommended", "0.000s preemption_noticed until 150.000s",
			"100.000s rebalance_recommended", "100.000s preemption_noticed until 150.000s", "150.000s instance_lost")
	})
}

// TestADeadlineThatHasPassed: one that is told late takes the node out at once;
// one that passed before a run began was not about this run's node.
func TestADeadlineThatHasPassed(t *testing.T) {
	onInstance(t, func(_ *testing.T, i *instance) {
		i.begin("old")
		i.join("old", 0, "a")
		time.Sleep(2 * time.Second)
		i.tell(notice.Preemption, -time.Second)
		time.Sleep(10 * time.Second)
		i.begin("new")
		i.join("new", 0, "a")
		time.Sleep(10 * time.Second)
		i.mustHear("old", "20.000s preemption_noticed until 20.000s", "20.000s instance_lost")
		i.mustHear("new")
		i.tell(notice.Preemption, 5*time.Second)
		time.Sleep(10 * time.Second)
		i.mustHear("new", "100.000s preemption_noticed until 150.000s", "150.000s instance_lost")
	})
}

// TestASourceThatFailsEndsTheWorker, with its reason.
func TestASourceThatFailsEndsTheWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := membus.New(membus.Options{})
		defer b.Close()
		var g run.Group
		if err := worker.Setup(&g, worker.Options{
			Bus: b, Nodes: []string{"a"}, Notices: []notice.Source{brokenSource{}}, Log: slog.New(slog.DiscardHandler),
			Metrics: prometheus.NewRegistry(), Ready: new(obs.Readiness),
		}); err != nil {
			t.Fatal(err)
		}
		if err := g.Run(); !errors.Is(err, errSource) {
			t.Errorf("it ends with %v", err)
		}
	})
}

var errSource = errors.New("no port")

type brokenSource struct{}

func (brokenSource) String() string                                   { return "broken" }
func (brokenSource) Watch(context.Context, func(notice.Notice)) error { return errSource }

func TestNoticesNeedOneNode(t *testing.T) {
	for _, nodes := range [][]string{nil, {"a", "b"}, {worker.AllNodes}} {
		_, err := worker.NoticeSources(t.Context(), open.Options{Names: []string{"aws"}}, nodes, slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), "exactly one --node with a name") {
			t.Errorf("%q: %v", nodes, err)
		}
		if _, err := worker.NoticeSources(t.Context(), open.Options{}, nodes, slog.New(slog.DiscardHandler)); err != nil {
			t.Errorf("%q without notices: %v", nodes, err)
		}
		if len(nodes) == 0 {
			continue
		}
		err = worker.Setup(new(run.Group), worker.Options{
			Nodes: nodes, Notices: []notice.Source{make(mouth)}, Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(), Ready: new(obs.Readiness),
		})
		if err == nil || !strings.Contains(err.Error(), "exactly one node") {
			t.Errorf("%q: set up with %v", nodes, err)
		}
	}
	got, err := worker.NoticeSources(t.Context(), open.Options{Names: []string{"aws", "azure"}}, []string{"a"}, slog.New(slog.DiscardHandler))
	if err != nil || len(got) != 2 {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := worker.NoticeSources(t.Context(), open.Options{Names: []string{"ibm"}}, []string{"a"}, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "allowed are aws") {
		t.Errorf("an unknown source: %v", err)
	}
}
