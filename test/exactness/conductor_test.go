package exactness

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/draw"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/replay"
	"github.com/spotserve/spotserve/core/vtime"
	"github.com/spotserve/spotserve/platform/actor"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/clock"
	"github.com/spotserve/spotserve/platform/wire"
)

// patience is far longer than anything here takes, also on a busy machine.
const patience = 2 * time.Minute

// tick is how often the conductor says that nothing earlier will come from it.
const tick = 10 * time.Millisecond

// conductor takes the place of the trace-replayer: it has things happen when the
// run is ready for them, so that a busy machine changes nothing.
type conductor struct {
	t       *testing.T
	bus     bus.Bus
	run     string
	setting setting
	spec    experiment.Spec
	clock   clock.Clock

	mu    sync.Mutex // of saying
	seq   uint64
	marks uint64
	next  event.RequestID
	now   vtime.Time // of what was said last

	stories chan event.Event // what the run says
	asked   map[event.RequestID]event.RequestArrived
	answers map[event.RequestID]event.RequestCompleted
	users   map[string]string // what became of requests that users published, by their id
	chosen  event.ConfigChosen
	// moved counts the tokens that pipelines of the newest plan have told of.
	moved    int
	plans    int
	resumed  int  // requests whose cache moved along
	deaths   int  // nodes that went without notice
	changed  bool // the fleet has gone through all changes
	finished *event.RunFinished
}

// begin starts a run on a site whose services are ready.
func begin(t *testing.T, b bus.Bus, run string, s setting) *conductor {
	t.Helper()
	spec := s.resolve(t)
	c := &conductor{
		t: t, bus: b, run: run, setting: s, spec: spec, stories: make(chan event.Event, 1<<12),
		asked: make(map[event.RequestID]event.RequestArrived), answers: make(map[event.RequestID]event.RequestCompleted),
		users: make(map[string]string),
	}
	start := event.RunStarted{Spec: spec, WallStart: time.Now().UnixNano()}
	first, _ := replay.NewPlayer(run, start, experiment.Timeline{}).Next()
	first.Watermark = 0
	seq, err := actor.Begin(t.Context(), b, first)
	if err != nil {
		t.Fatal(err)
	}
	c.seq = first.Seq
	if c.clock, err = clock.New(time.Unix(0, start.WallStart), 1); err != nil {
		t.Fatal(err)
	}
	c.follow(seq)
	ctx, cancel := context.WithCancel(context.Background())
	var ticking sync.WaitGroup
	ticking.Go(func() {
		for ctx.Err() == nil {
			c.publish(ctx, event.WatermarkAdvanced{})
			time.Sleep(tick)
		}
	})
	t.Cleanup(func() {
		cancel()
		ticking.Wait()
	})
	return c
}

// follow reads the run as its collector does.
func (c *conductor) follow(seq uint64) {
	c.t.Helper()
	sub, err := c.bus.Follow(c.t.Context(), bus.Runs, bus.Position{Seq: seq}, wire.PlanFilter(c.run), wire.WorkerFacts(c.run))
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var reading sync.WaitGroup
	reading.Go(func() {
		defer sub.Stop()
		for {
			select {
			case m, ok := <-sub.C():
				if !ok {
					return
				}
				ev, err := wire.Decode(m.Data)
				if err != nil {
					c.t.Errorf("message %d: %v", m.Seq, err)
					continue
				}
				select {
				case c.stories <- ev:
				case <-ctx.Done():
					return
				}
			case <-ctx.Done():
				return
			}
		}
	})
	c.t.Cleanup(func() {
		cancel()
		reading.Wait()
	})
}

// say publishes what happens now.
func (c *conductor) say(b event.Body) {
	c.t.Helper()
	c.publish(c.t.Context(), b)
}

func (c *conductor) publish(ctx context.Context, b event.Body) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = max(c.now, c.clock.Now())
	ev := event.Event{Run: c.run, Source: event.SourceReplayer, Time: c.now, Watermark: c.now, Version: event.SchemaVersion, Body: b}
	if _, mark := b.(event.WatermarkAdvanced); mark {
		c.marks++
		ev.Seq = c.marks
	} else {
		c.seq++
		ev.Seq = c.seq
	}
	if _, end := b.(event.RunEnded); end {
		ev.Watermark = vtime.Never
	}
	if err := actor.Publish(ctx, c.bus, ev); err != nil && ctx.Err() == nil {
		c.t.Errorf("publish %T: %v", b, err)
	}
}

// await takes what the run says until something holds. It loses its patience with a
// run that answers nobody.
func (c *conductor) await(what string, holds func() bool) {
	c.t.Helper()
	answers, since := len(c.answers), time.Now()
	for !holds() {
		select {
		case ev := <-c.stories:
			c.take(ev)
		case <-time.After(50 * time.Millisecond): // what holds may depend on time
		}
		if len(c.answers) > answers {
			answers, since = len(c.answers), time.Now()
		}
		if time.Since(since) > patience {
			c.t.Fatalf("%s: nothing is answered for %v; %d of %d requests are, plan %s: %+v",
				what, patience, len(c.answers), len(c.asked), c.chosen.Epoch, c.chosen.Config)
		}
	}
}

func (c *conductor) take(ev event.Event) {
	told := func(epoch event.Epoch, generated []event.Generated) {
		if c.chosen.Epoch.Less(epoch) || epoch == c.chosen.Epoch {
			for _, g := range generated {
				c.moved += len(g.Tokens)
			}
		}
	}
	switch b := ev.Body.(type) {
	case event.ConfigChosen:
		c.chosen, c.moved = b, 0
		c.plans++
	case event.MigrationPlanned:
		c.resumed += b.ResumedRequests
	case event.TokensCommitted:
		told(b.Epoch, b.Generated)
	case event.RequestsLeft:
		told(b.Epoch, b.Generated)
	case event.BatchCompleted:
		told(b.Epoch, b.Generated)
	case event.RequestCompleted:
		if b.Name != "" {
			c.users[b.Name] = fmt.Sprint(b.Output)
			return
		}
		if before, twice := c.answers[b.Record.Request]; twice && !slices.Equal(before.Output, b.Output) {
			c.t.Errorf("request %d has two answers: %v and %v", b.Record.Request, before.Output, b.Output)
		}
		c.answers[b.Record.Request] = b
		if c.finished == nil && c.next > 0 {
			c.refill()
		}
	case event.RequestRefused:
		if b.Name != "" {
			c.users[b.Name] = b.Reason
			return
		}
		c.t.Errorf("request %d is refused: %s", b.Request, b.Reason)
	case event.RunFinished:
		c.finished = &b
	}
}

// refill keeps as many requests in flight as the setting has.
func (c *conductor) refill() {
	for len(c.asked)-len(c.answers) < c.setting.inFlight && c.finished == nil && !c.draining() {
		c.ask()
	}
}

// draining: the conductor has asked for all that it wants answered.
func (c *conductor) draining() bool {
	return c.changed && len(c.asked) >= c.setting.requests
}

// ask has a request arrive: every other one is sampled, and brings its own prompt.
func (c *conductor) ask() {
	s := &c.setting
	number := func(purpose string, below int) int {
		return int(draw.Number(s.seed, purpose, uint64(c.next)) % uint64(below))
	}
	r := event.RequestArrived{
		Request: c.next, PromptTokens: 1 + number("prompt", s.prompt), OutputTokens: 1 + number("output", s.output),
	}
	if c.next%2 == 1 {
		p, k := float32(0.95), 50
		r.Prompt = &experiment.Prompt{Sampling: experiment.SamplingWish{Temperature: &s.temperature, TopP: &p, TopK: &k}}
		for i := range r.PromptTokens {
			r.Prompt.Tokens = append(r.Prompt.Tokens, int32((int(c.next)*7+i*i+3*i)%s.shape.Vocab))
		}
	}
	c.next++
	c.asked[r.Request] = r
	c.say(r)
}

// add has nodes join.
func (c *conductor) add(names ...string) {
	var instances []experiment.Instance
	for _, n := range names {
		instances = append(instances, experiment.Instance{Node: n, Market: cost.Spot, GPUs: 1})
	}
	c.say(event.InstanceAcquired{Instances: instances})
}

// serves reports whether a plan that is newer than the first plans serves.
func (c *conductor) serves(plans int) bool {
	return c.plans > plans && c.moved > 2*c.setting.commitInterval
}

// settled waits until a plan that is newer than the first plans serves.
func (c *conductor) settled(plans int) {
	c.t.Helper()
	c.await("a new configuration serves", func() bool { return c.serves(plans) })
}
