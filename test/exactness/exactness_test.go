// Package exactness runs the whole system on a real model, through reconfigurations
// and deaths, and compares every answer with that of a model that was never cut.
package exactness

import (
	"slices"
	"testing"
	"time"

	"github.com/spotserve/spotserve/core/draw"
	"github.com/spotserve/spotserve/core/engineop"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/vtime"
	"github.com/spotserve/spotserve/engine/checkpoint"
	"github.com/spotserve/spotserve/engine/kernel"
	"github.com/spotserve/spotserve/engine/llm"
	"github.com/spotserve/spotserve/engine/llm/cluster"
)

// TestAnswersDoNotDependOnTheFleet: all services in this process.
func TestAnswersDoNotDependOnTheFleet(t *testing.T) {
	t.Parallel()
	play(t, newLocal(t), small())
}

// TestLargerModel: bfloat16, longer answers, more changes.
func TestLargerModel(t *testing.T) {
	thorough(t)
	t.Parallel()
	play(t, newLocal(t), large())
}

// TestStaticBatching: nobody joins a running batch.
func TestStaticBatching(t *testing.T) {
	thorough(t)
	t.Parallel()
	s := small()
	s.batching = experiment.Pooled
	play(t, newLocal(t), s)
}

// TestNoticeLosesNothing: where every node goes with notice, no token is computed
// twice.
func TestNoticeLosesNothing(t *testing.T) {
	t.Parallel()
	s := small()
	s.requests, s.changes, s.noDeaths = 30, 4, true
	c := play(t, newLocal(t), s)
	if c.finished.TokensRecomputed != 0 {
		t.Errorf("%d tokens were computed again", c.finished.TokensRecomputed)
	}
	if c.resumed == 0 {
		t.Error("no request went on with its cache: it proves nothing")
	}
}

// play has a run go through all changes of its setting and checks what it answers.
func play(t *testing.T, at site, s setting) *conductor {
	t.Helper()
	c := begin(t, at.theBus(), "exactness-1", s)
	c.add(nodes()...)
	c.refill()
	c.settled(0)
	for change := range s.changes {
		c.change(at, change)
	}
	c.finish()
	if c.plans < 2*s.changes {
		t.Errorf("only %d configurations: they prove little", c.plans)
	}
	return c
}

// finish asks for the rest of the requests and checks all answers.
func (c *conductor) finish() {
	c.t.Helper()
	c.changed = true
	c.await("enough requests are asked", c.draining)
	c.await("all requests are answered", func() bool { return len(c.answers) == len(c.asked) })
	c.say(event.RunEnded{Reason: event.EndOfTrace})
	c.await("the run is finished", func() bool { return c.finished != nil })
	c.mustBeRight()
}

// change takes a node away that computes, in one of the ways in which nodes go, and
// brings it back.
func (c *conductor) change(at site, n int) {
	c.t.Helper()
	var working []string
	for _, p := range c.chosen.Pipelines {
		working = append(working, p.Nodes...)
	}
	name := working[int(draw.Number(c.setting.seed, "who goes", uint64(n))%uint64(len(working)))]
	before, plans, how := c.chosen, c.plans, "with notice"
	if !c.setting.noDeaths && n%3 == 2 {
		how = "without notice"
		c.deaths++
		at.kill(name)
		c.say(event.InstanceLost{Nodes: []string{name}})
		at.start(name)
		c.settled(plans)
	} else {
		deadline := max(0, c.clock.Now()).Add(c.setting.grace)
		c.say(event.PreemptionNoticed{Nodes: []string{name}, Deadline: deadline})
		c.settled(plans)
		c.await("the deadline", c.past(deadline))
		c.say(event.InstanceLost{Nodes: []string{name}})
	}
	without := c.chosen
	plans = c.plans
	c.add(name)
	wait := c.past(c.clock.Now().Add(10 * time.Second)) // it changes nothing where the list has the same again
	c.await("the node is in use, or not needed", func() bool { return c.serves(plans) || wait() })
	c.t.Logf("change %d: %s goes %s: %s, %s, %s", n, name, how, before.Config, without.Config, c.chosen.Config)
}

// past reports whether an instant is behind. It looks when something is said, so
// something has to be.
func (c *conductor) past(at vtime.Time) func() bool {
	return func() bool { return c.clock.Now() >= at }
}

// mustBeRight compares every answer with that of a model that was never cut.
func (c *conductor) mustBeRight() {
	c.t.Helper()
	transformer := c.spec.Transformer
	config, err := checkpoint.Config(c.spec.Model.Name, transformer.Shape)
	if err != nil {
		c.t.Fatal(err)
	}
	source, err := checkpoint.Open(transformer.Weights, checkpoint.Options{Shape: config})
	if err != nil {
		c.t.Fatal(err)
	}
	weights, err := cluster.Load(source)
	if err != nil {
		c.t.Fatal(err)
	}
	defer weights.Close()
	wrong := 0
	for id, r := range c.asked {
		whole, err := cluster.New(cluster.Options{Config: config, Blob: weights.Blob, CPU: kernel.Options{Threads: 1}, KVBytes: 1 << 28})
		if err != nil {
			c.t.Fatal(err)
		}
		tokens := engineop.DrawPrompt(transformer, id, r.PromptTokens)
		if r.Prompt != nil {
			tokens = r.Prompt.Tokens
		}
		sampling := engineop.SamplingOf(transformer, id, r.Prompt)
		var want []int32
		for from := 0; len(want) < r.OutputTokens; {
			next, err := whole.Step(c.t.Context(), []llm.Sequence{{
				ID: 1, Start: from, Tokens: tokens[from:], Sample: true,
				Sampling: llm.Sampling{Temperature: sampling.Temperature, TopK: sampling.TopK, TopP: sampling.TopP, Seed: sampling.Seed},
			}})
			if err != nil {
				c.t.Fatal(err)
			}
			from = len(tokens)
			want, tokens = append(want, next[0]), append(slices.Clip(tokens), next[0])
		}
		whole.Close()
		if got := c.answers[id].Output; !slices.Equal(got, want) {
			if wrong++; wrong <= 5 {
				c.t.Errorf("request %d: the answer is %v, must be %v", id, got, want)
			}
		}
	}
	if wrong > 0 {
		c.t.Errorf("%d of %d answers are wrong", wrong, len(c.asked))
	}
	f := c.finished
	if f.Lost != 0 || f.Duplicated != 0 || f.TokensChanged != 0 || f.Accepted != len(c.asked) || f.Completed != len(c.asked) {
		c.t.Errorf("%d requests were asked; %+v", len(c.asked), *f)
	}
	// What was not committed is lost with a node that goes without notice, and
	// nothing else.
	if most := c.deaths * c.setting.inFlight * c.setting.commitInterval; f.TokensRecomputed > most {
		c.t.Errorf("%d tokens were computed again: %d nodes went without notice, each with at most %d requests of %d uncommitted tokens",
			f.TokensRecomputed, c.deaths, c.setting.inFlight, c.setting.commitInterval)
	}
	if c.t.Failed() {
		return
	}
	c.t.Logf("%d answers are right through %d configurations, %d requests went on with their cache, %d interruptions, %d tokens computed again",
		len(c.asked), c.plans, c.resumed, f.Interruptions, f.TokensRecomputed)
}
