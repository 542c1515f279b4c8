package worker_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/vtime"
)

var calledOff = event.ArrangeInterruption{Epoch: epoch1, Acquisition: true, At: vtime.Never}

// TestACalledOffArrangementIsAsIfThereHadBeenNone: the pipeline runs on, whether
// it was busy or idle, and whatever it would have stopped for.
func TestACalledOffArrangementIsAsIfThereHadBeenNone(t *testing.T) {
	for _, batching := range []experiment.Batching{experiment.Pooled, experiment.Continuous} {
		for name, arranged := range map[string]event.ArrangeInterruption{
			"a preemption": leave(epoch1, 13.2), "an acquisition": join(epoch1, 13.2), "one far ahead": leave(epoch1, 60),
		} {
			for _, busy := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s/%s/busy %t", batching, name, busy), func(t *testing.T) {
					play := func(arrange bool) []string {
						s := spec()
						s.Batching = batching
						n := serving(t, s)
						if busy {
							n.send(assign(epoch1, request(1, 0)))
						}
						n.until(10.2)
						if arrange {
							n.send(arranged)
						}
						n.until(10.3)
						if arrange {
							n.send(calledOff)
						}
						n.until(10.4)
						n.send(assign(epoch1, request(2, 0), request(3, 0)))
						n.until(100)
						var lines []string
						for _, f := range n.facts {
							lines = append(lines, fmt.Sprintf("%s %s %+v", f.Time, f.Body.Kind(), f.Body))
						}
						return lines
					}
					got, want := play(true), play(false)
					if !slices.Equal(got, want) {
						t.Errorf("called off, it says\n%s\nwithout an arrangement\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
					}
					if !strings.Contains(strings.Join(want, "\n"), "3]") {
						t.Errorf("request 3 is not served:\n%s", strings.Join(want, "\n"))
					}
				})
			}
		}
	}
}

// TestACalledOffArrangementMayBeMadeAgain, for another instant.
func TestACalledOffArrangementMayBeMadeAgain(t *testing.T) {
	n := running(t)
	n.send(leave(epoch1, 12.3), calledOff, leave(epoch1, 12.5))
	n.until(30)
	n.said("12.430 exit with [1+4], not begun []")
}

// TestACallOffThatComesTooLate finds no pipeline.
func TestACallOffThatComesTooLate(t *testing.T) {
	n := running(t)
	n.send(leave(epoch1, 12.5))
	n.until(13)
	n.said("12.430 exit with [1+4], not begun []")
	n.send(calledOff)
	n.until(30)
	n.said()
}

// TestACallOffLetsOthersJoinAgain: who was kept out of a continuous batch because
// the stop was near joins at the next border.
func TestACallOffLetsOthersJoinAgain(t *testing.T) {
	play := func(off bool) string {
		s := spec()
		s.Batching = experiment.Continuous
		roomy := plan(epoch1, 0)
		roomy.KVTokens = 1000
		n := newNode(t, s)
		n.send(roomy)
		n.until(10)
		n.send(assign(epoch1, request(1, 0)))
		n.until(12.7) // it is decoding
		n.send(leave(epoch1, 13.3), assign(epoch1, request(2, 0)))
		n.until(13)
		if off {
			n.send(calledOff)
		}
		n.until(100)
		var joined []string
		for _, f := range n.facts {
			if j, ok := f.Body.(event.RequestsJoined); ok {
				joined = append(joined, fmt.Sprint(j.Requests))
			}
		}
		return strings.Join(joined, " ")
	}
	if got := play(false); got != "[1]" {
		t.Errorf("before a stop that is near %s join, want request 1 alone", got)
	}
	if got := play(true); got != "[1] [2]" {
		t.Errorf("after the stop was called off %s have joined, want both", got)
	}
}
