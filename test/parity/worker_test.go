package parity

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/spotserve/spotserve/catalog"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/invariant"
	"github.com/spotserve/spotserve/platform/bus"
)

// TestWorkerDies in the midst of a run, and its node is one of those that lead.
// Its requests go on elsewhere, and what it says afterwards, if it was only
// stopped, is void. A new process for the node is used again.
func TestWorkerDies(t *testing.T) {
	for _, approach := range catalog.Approaches() {
		start := scene{model: "20B", trace: "As", seed: 1, timeScale: 20}.start(approach)
		whole := simulate(t, "e2e-1", start)
		node := leader(t, whole)
		for _, after := range []int{3, 60} {
			for name, c := range map[string]cast{
				"dies": {over: of(node, dies(after))},
				"dies and is replaced after it was missed": {
					over: of(node, dies(after)), laterWorkers: []laterWorker{{[]string{node}, 40 * time.Second}},
				},
				"is stopped for a while": {over: of(node, sleeps(after))},
			} {
				t.Run(fmt.Sprintf("%s %s after %d messages", approach, name, after), func(t *testing.T) {
					t.Parallel()
					c.workers = oneEach(t, start)
					events, _ := c.play(t, start)
					totals := finished(t, events)
					if totals.Lost != 0 || totals.Duplicated != 0 || totals.Accepted != totals.Completed+totals.UnfinishedAtEnd {
						t.Errorf("%d accepted, %d completed, %d unfinished, %d lost, %d duplicated",
							totals.Accepted, totals.Completed, totals.UnfinishedAtEnd, totals.Lost, totals.Duplicated)
					}
					if arrived := finished(t, whole).Accepted; totals.Accepted != arrived || totals.Completed < arrived/2 {
						t.Errorf("%d requests arrived, %d were accepted, %d completed", arrived, totals.Accepted, totals.Completed)
					}
					check := invariant.NewChecker()
					for _, ev := range events {
						check.Take(ev)
					}
					if err := check.Err(); err != nil {
						t.Error(err)
					}
					found, back := judged(events, node)
					if !found {
						t.Errorf("nobody found %s silent", node)
					}
					if again := name != "dies"; back != again {
						t.Errorf("%s works again: %t, want %t", node, back, again)
					}
				})
			}
		}
	}
}

// judged tells whether the planner found a node silent, and whether a later
// configuration has it.
func judged(events []event.Event, node string) (found, back bool) {
	for _, ev := range events {
		switch b := ev.Body.(type) {
		case event.WorkerSilent:
			found = found || slices.Contains(b.Nodes, node)
			back = false
		case event.ConfigChosen:
			for _, p := range b.Pipelines {
				back = back || found && slices.Contains(p.Nodes, node)
			}
		}
	}
	return found, back
}

// of gives the worker of a node the bus that it sees.
func of(node string, see func(bus.Bus) bus.Bus) func(bus.Bus, string, []string) bus.Bus {
	return func(b bus.Bus, _ string, nodes []string) bus.Bus {
		if slices.Contains(nodes, node) {
			return see(b)
		}
		return b
	}
}

// TestWorkerIsReplacedBeforeItIsMissed: the new process says that the node holds
// nothing any more, and the planner believes it.
func TestWorkerIsReplacedBeforeItIsMissed(t *testing.T) {
	start := scene{model: "20B", trace: "As", seed: 1, timeScale: 20}.start("spotserve")
	node := leader(t, simulate(t, "e2e-1", start))
	c := cast{workers: oneEach(t, start), laterWorkers: []laterWorker{{[]string{node}, 10 * time.Second}}}
	events, _ := c.play(t, start)
	totals := finished(t, events)
	if totals.Lost != 0 || totals.Duplicated != 0 || totals.Accepted != totals.Completed+totals.UnfinishedAtEnd {
		t.Errorf("%+v", totals)
	}
	joined, back := false, false
	for _, ev := range events {
		switch b := ev.Body.(type) {
		case event.WorkerJoined:
			joined = true
		case event.ConfigChosen:
			for _, p := range b.Pipelines {
				back = back || joined && slices.Contains(p.Nodes, node)
			}
		}
	}
	if !joined || !back {
		t.Errorf("%s joined: %t, worked again: %t", node, joined, back)
	}
}
