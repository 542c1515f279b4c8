//go:build unix

package chaos

import (
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/vtime"
)

// chaos is a site with faults under way.
type chaos struct {
	*site
	rand   *rand.Rand
	began  time.Time
	counts map[string]int // faults so far, by kind
	open   []fault        // under way, the first to end first
	ended  int            // processes that failed without a fault of their own
}

// fault is one that is under way.
type fault struct {
	until time.Time
	on    *proc
	undo  func()
}

// disturb has faults come and go until the run is over or has had its time; then
// all is mended, and the run comes to its end.
func (c *chaos) disturb(run string, calm time.Time) {
	c.t.Helper()
	const most = 3 // at once
	next := time.Now().Add(3 * time.Second)
	for !c.watch.Over(run) && time.Now().Before(calm) {
		time.Sleep(100 * time.Millisecond)
		c.mend(time.Now())
		if time.Now().Before(next) {
			continue
		}
		if len(c.open) < most {
			c.strike(run)
		}
		next = time.Now().Add(c.between(500*time.Millisecond, 3*time.Second))
	}
	c.mend(time.Now().Add(time.Hour))
	for _, p := range c.procs {
		within(c.t, p.name+" is ready", func() (bool, any) {
			c.mend(time.Now())
			status, said := p.health("/readyz")
			return status == http.StatusOK, said
		})
	}
}

func (c *chaos) between(least, most time.Duration) time.Duration {
	return least + time.Duration(c.rand.Int64N(int64(most-least)))
}

// mend ends the faults that have had their time, and starts what has ended by
// itself.
func (c *chaos) mend(now time.Time) {
	c.t.Helper()
	slices.SortFunc(c.open, func(a, b fault) int { return a.until.Compare(b.until) })
	for len(c.open) > 0 && !c.open[0].until.After(now) {
		c.open[0].undo()
		c.open = c.open[1:]
	}
	for _, p := range c.procs {
		if !p.alive() && !c.busy(p) {
			c.ended++
			c.t.Logf("%s ended by itself:\n%s", p.name, tail(p.Stderr.String()))
			p.Process = nil
			c.open = append(c.open, fault{time.Now().Add(time.Second), p, p.start})
		}
	}
}

func tail(text string) string { return text[max(0, len(text)-1000):] }

func (c *chaos) busy(p *proc) bool {
	return slices.ContainsFunc(c.open, func(f fault) bool { return f.on == p })
}

// kind is the service that a process is one of.
func kind(p *proc) string {
	switch name := strings.TrimRight(p.name, "-0123456789"); name {
	case "node":
		return "worker"
	case "nats":
		return "NATS server"
	default:
		return name
	}
}

// strike has one fault begin.
func (c *chaos) strike(run string) {
	c.t.Helper()
	all := append(slices.Clone(c.procs), c.servers...)
	p := all[c.rand.IntN(len(all))]
	if c.rand.IntN(3) == 0 { // else the many workers have nearly all of them
		few := slices.DeleteFunc(all, func(p *proc) bool { return kind(p) == "worker" })
		p = few[c.rand.IntN(len(few))]
	}
	what, away := c.rand.IntN(10), c.between(500*time.Millisecond, 9*time.Second)
	if c.busy(p) || !p.alive() { // it may have ended by itself just now
		return
	}
	server := slices.Contains(c.servers, p)
	switch {
	case what < 4 && server:
		p.kill()
		c.begin("kill", p, min(away, 3*time.Second), func() { p.serve() })
	case what < 4:
		p.kill()
		c.begin("kill", p, away, p.start)
	case what < 7 || server:
		p.freeze()
		c.begin("stop", p, away, p.thaw)
	case what == 7:
		p.link.Hold()
		c.begin("partition, held", p, away, p.link.Heal)
	case what == 8:
		p.link.Cut()
		c.begin("partition, cut", p, away, p.link.Heal)
	case slices.ContainsFunc(c.servers, c.busy):
		// Nobody could publish what comes next.
	case c.rand.IntN(8) == 0:
		c.halve(away)
	default:
		c.notices(run)
	}
}

func (c *chaos) begin(what string, p *proc, lasts time.Duration, undo func()) {
	c.t.Helper()
	name := what + " " + kind(p)
	c.counts[name]++
	c.t.Logf("%6.1f s: %s %s for %.1f s", time.Since(c.began).Seconds(), what, p.name, lasts.Seconds())
	c.open = append(c.open, fault{time.Now().Add(lasts), p, undo})
}

// halve kills every other worker.
func (c *chaos) halve(away time.Duration) {
	c.t.Helper()
	for i := range longNodes {
		if p := c.proc("node-" + strconv.Itoa(i)); i%2 == 0 && !c.busy(p) {
			p.kill()
			c.begin("kill, half of them at once,", p, away, p.start)
		}
	}
}

// notices says of a node that it goes, twice, and then that it does not.
func (c *chaos) notices(run string) {
	c.t.Helper()
	node := "node-" + strconv.Itoa(c.rand.IntN(longNodes))
	deadline := vtime.Time(c.between(60*time.Second, 120*time.Second))
	for _, b := range []event.Body{
		event.PreemptionNoticed{Nodes: []string{node}, Deadline: deadline},
		event.PreemptionNoticed{Nodes: []string{node}, Deadline: deadline},
		event.PreemptionCancelled{Nodes: []string{node}},
	} {
		c.say(run, node, b)
	}
	c.counts["notice, said twice and taken back"]++
	c.t.Logf("%6.1f s: notices of %s", time.Since(c.began).Seconds(), node)
}
