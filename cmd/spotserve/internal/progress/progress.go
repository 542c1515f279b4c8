// Package progress shows a live run, or how far many runs are, on one line of a
// terminal.
package progress

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/vtime"
)

// State is what the line shows, folded from the run's events.
type State struct {
	// StoreAway: the store does not take rows, which wait in the stream.
	StoreAway bool

	now, end  vtime.Time
	nodes     map[string]bool
	config    string
	arrived   int
	done      int
	computing map[string]int // requests by pipeline and epoch
	latencies []float64      // seconds, ascending
	changing  bool
}

// NewState returns the state before a run.
func NewState() *State {
	return &State{nodes: make(map[string]bool), computing: make(map[string]int), config: "none"}
}

// Take folds one event in.
func (s *State) Take(ev event.Event) {
	switch b := ev.Body.(type) {
	case event.WatermarkAdvanced:
		return
	case event.RunStarted:
		s.end = b.Spec.End
	case event.InstanceAcquired:
		for _, i := range b.Instances {
			s.nodes[i.Node] = true
		}
	case event.InstanceLost:
		for _, n := range b.Nodes {
			delete(s.nodes, n)
		}
	case event.RequestArrived:
		s.arrived++
	case event.ConfigChosen:
		s.config, s.changing = b.Config.String(), true
		clear(s.computing)
	case event.StageStarted:
		s.changing = false
	case event.BatchStarted:
		s.computing[pipeline(b.Epoch, b.Pipeline)] = len(b.Requests)
	case event.BatchCompleted:
		delete(s.computing, pipeline(b.Epoch, b.Pipeline))
	case event.RequestsJoined:
		s.computing[pipeline(b.Epoch, b.Pipeline)] += len(b.Requests)
	case event.RequestsLeft:
		s.computing[pipeline(b.Epoch, b.Pipeline)] -= len(b.Requests)
	case event.PipelineExited:
		delete(s.computing, pipeline(b.Epoch, b.Pipeline))
	case event.RequestCompleted:
		s.done++
		latency := b.Record.Finished.Sub(b.Record.Arrived).Seconds()
		at, _ := slices.BinarySearch(s.latencies, latency)
		s.latencies = slices.Insert(s.latencies, at, latency)
	}
	s.now = max(s.now, min(ev.Time, s.end))
}

func pipeline(e event.Epoch, index int) string { return fmt.Sprintf("%s/%d", e, index) }

// String is the line: experiment clock, fleet, configuration, queue, done of
// total, P99 so far, and whether the store is away.
func (s *State) String() string {
	computing := 0
	for _, n := range s.computing {
		computing += n
	}
	p99 := "-"
	if n := len(s.latencies); n > 0 {
		p99 = fmt.Sprintf("%.1f s", s.latencies[int(0.99*float64(n))])
	}
	config := s.config
	if s.changing {
		config += " starting"
	}
	away := ""
	if s.StoreAway {
		away = "   the store takes no rows"
	}
	return fmt.Sprintf("%6.0f / %.0f s   %2d nodes   %-16s queue %3d   done %d/%d   P99 %s%s",
		s.now.Seconds(), s.end.Seconds(), len(s.nodes), config, max(0, s.arrived-s.done-computing), s.done, s.arrived, p99, away)
}

// Line redraws a State on a terminal, at most every interval.
type Line struct {
	// Prefix stands before the state: which of several runs it is.
	Prefix string

	w     io.Writer
	last  time.Time
	width int
}

// interval keeps terminals and eyes from being flooded.
const interval = 100 * time.Millisecond

// NewLine returns a line on w, which has to be a terminal.
func NewLine(w io.Writer) *Line { return &Line{w: w} }

// Show draws s if it is time to.
func (l *Line) Show(s *State) { l.show(func() string { return l.Prefix + s.String() }) }

// ShowNow draws s: it has changed, and may not change again for long.
func (l *Line) ShowNow(s *State) {
	l.last = time.Time{}
	l.Show(s)
}

// show draws a text if it is time to.
func (l *Line) show(text func() string) {
	if time.Since(l.last) < interval {
		return
	}
	l.last = time.Now()
	l.print(text())
}

// Clear removes the line.
func (l *Line) Clear() { l.print(""); _, _ = fmt.Fprint(l.w, "\r") }

func (l *Line) print(text string) {
	pad := strings.Repeat(" ", max(0, l.width-len(text)))
	l.width = len(text)
	// A terminal that is gone is not the run's concern.
	_, _ = fmt.Fprint(l.w, "\r"+text+pad)
}
