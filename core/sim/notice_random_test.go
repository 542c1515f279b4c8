package sim_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/spotserve/spotserve/core/draw"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/sim"
	"github.com/spotserve/spotserve/core/vtime"
)

// noticed is a random schedule on which clouds have their say too: they notice
// preemptions and take them back, at any time and in any order; instances go
// when they should, sooner, or without a word.
type noticed struct {
	schedule
	notices []event.Event
}

func (n noticed) String() string { return fmt.Sprintf("%s, notices %+v", n.schedule, n.notices) }

func randomNotices(seed uint64) noticed {
	r := draw.Stream(seed, "notices")
	n := noticed{schedule: randomSchedule(seed)}
	n.spec.Batching = pick(r, n.spec.Batching, n.spec.Batching, experiment.Continuous)
	for _, node := range n.spec.Nodes {
		for range r.IntN(4) {
			n.notices = append(n.notices, randomStory(r, node, n.timeline.End)...)
		}
	}
	slices.SortStableFunc(n.notices, func(a, b event.Event) int { return cmp.Compare(a.Time, b.Time) })
	seq := make(map[string]uint64)
	for i := range n.notices {
		ev := &n.notices[i]
		seq[ev.Source] += 1 + uint64(r.IntN(3))
		ev.Seq = seq[ev.Source]
		if _, goes := ev.Body.(event.PreemptionNoticed); goes {
			n.fits = false // nobody knows who is left at the end
		}
	}
	return n
}

// randomStory is what one cloud says of one node, around one instant.
func randomStory(r *rand.Rand, node string, end vtime.Time) (out []event.Event) {
	tell := func(at vtime.Time, b event.Body) {
		if at <= end {
			out = append(out, event.Event{
				Run: "random", Source: event.SourceNotice(node), Time: at, Version: event.SchemaVersion, Body: b,
			})
		}
	}
	nodes := []string{node}
	at := vtime.Time(r.Int64N(int64(end) + 1))
	if r.IntN(3) == 0 {
		tell(at, event.RebalanceRecommended{Nodes: nodes})
		at = at.Add(pick(r, 0, time.Second, 20*time.Second))
	}
	deadline := at.Add(pick(r, 0, time.Second, 5*time.Second, 30*time.Second, 30*time.Second, 120*time.Second))
	tell(at, event.PreemptionNoticed{Nodes: nodes, Deadline: deadline})
	within := func() vtime.Time { return at + vtime.Time(r.Int64N(int64(deadline-at)+1)) }
	for range r.IntN(3) { // said again, and cancelled, in any order
		switch r.IntN(3) {
		case 0:
			tell(within(), event.PreemptionNoticed{Nodes: nodes, Deadline: deadline.Add(pick(r, 0, -time.Second, time.Second))})
		case 1:
			tell(within(), event.PreemptionCancelled{Nodes: nodes})
		default:
			again := within()
			tell(again, event.PreemptionCancelled{Nodes: nodes})
			tell(again.Add(pick(r, 0, 10*time.Millisecond, time.Second)), event.PreemptionNoticed{Nodes: nodes, Deadline: deadline})
		}
	}
	switch r.IntN(6) {
	case 0, 1:
		tell(deadline, event.InstanceLost{Nodes: nodes})
	case 2:
		tell(within(), event.InstanceLost{Nodes: nodes}) // sooner than it was said
	case 3: // the instance has no time to say it
	default:
		tell(within(), event.PreemptionCancelled{Nodes: nodes})
	}
	return out
}

// check plays the schedule with its notices and returns the first promise that
// does not hold.
func (n noticed) check(log func(event.Event)) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	b := books{ended: make(map[event.RequestID]int), finished: -1}
	if err := sim.RunWithNotices("random", n.spec, n.timeline, n.notices, func(ev event.Event) error {
		log(ev)
		b.take(ev)
		return nil
	}); err != nil {
		return err
	}
	return b.audit(n.schedule)
}

// TestRandomNoticesKeepThePromises. A failure prints its seed;
// go test ./sim -run RandomNotices -seed N -v plays it again.
func TestRandomNoticesKeepThePromises(t *testing.T) {
	if *seedFlag != 0 {
		n := randomNotices(*seedFlag)
		t.Logf("schedule: %s", n)
		if err := n.check(func(ev event.Event) { t.Logf("%s %s -> %s %s %+v", ev.Time, ev.ID(), ev.To, ev.Body.Kind(), ev.Body) }); err != nil {
			t.Fatal(err)
		}
		return
	}
	runs := *runsFlag
	if testing.Short() {
		runs /= 10
	}
	seen := make(map[event.Kind]int)
	for seed := uint64(1); seed <= runs; seed++ {
		n := randomNotices(seed)
		if err := n.check(func(ev event.Event) { seen[ev.Body.Kind()]++ }); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
	}
	for _, b := range []event.Body{event.PreemptionCancelled{}, event.RebalanceRecommended{}, event.PipelineExited{}, event.RequestCompleted{}} {
		if seen[b.Kind()] < int(runs)/10 {
			t.Errorf("%s happened %d times in %d runs: they try nothing", b.Kind(), seen[b.Kind()], runs)
		}
	}
}
