package sim_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/sim"
	"github.com/spotserve/spotserve/core/vtime"
)

var update = flag.Bool("update", false, "write the transcripts anew; review them as a diff")

// separator stands between a scenario and what planner and workers say in it.
const separator = "----\n"

// TestTranscripts plays the scenarios of testdata/*.txt and compares the
// conversation word by word. Regenerate with: go test ./sim -run Transcripts -update
func TestTranscripts(t *testing.T) { transcripts(t, "testdata/*.txt", play) }

// transcripts holds files to what play makes of their scenarios.
func transcripts(t *testing.T, pattern string, play func(t *testing.T, script string) string) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts %s: %v", pattern, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			script, want, _ := strings.Cut(string(text), separator)
			got := play(t, script)
			if *update {
				if err := os.WriteFile(file, []byte(script+separator+got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != want {
				t.Errorf("%s: the conversation has changed:\n%s", file, firstDifference(got, want))
			}
		})
	}
}

func play(t *testing.T, script string) string {
	t.Helper()
	spec, timeline, err := parseScenario(script)
	if err != nil {
		t.Fatal(err)
	}
	var w transcript
	if err := sim.Run("transcript", spec, timeline, func(ev event.Event) error { w.take(ev); return nil }); err != nil {
		t.Fatal(err)
	}
	w.flush()
	return w.String()
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range g {
		if i >= len(w) || g[i] != w[i] {
			return fmt.Sprintf("line %d is\n  %s\nand was\n  %s", i+1, g[i], strings.Join(w[min(i, len(w)):min(i+1, len(w))], ""))
		}
	}
	return fmt.Sprintf("line %d is missing:\n  %s", len(g)+1, w[len(g)])
}

// transcript writes the events of a run for people: when they are taken, who
// says what to whom, and the fields that matter. What several nodes say alike
// takes one line.
type transcript struct {
	strings.Builder
	at   vtime.Time
	who  []string
	what string
}

func (w *transcript) take(ev event.Event) {
	what := describe(ev.Body)
	if what == "" {
		return
	}
	who := ev.Source
	if ev.To != "" {
		who += " > " + ev.To
	}
	if ev.Time != w.at || what != w.what {
		w.flush()
		w.at, w.what = ev.Time, what
	}
	w.who = append(w.who, who)
}

func (w *transcript) flush() {
	if len(w.who) > 0 {
		fmt.Fprintf(w, "%8.3f  %-18s %s\n", w.at.Seconds(), summed(w.who), w.what)
	}
	w.who = nil
}

// summed shortens node-1, node-2, node-3, node-7 to node-1..3,7.
func summed(who []string) string {
	out := who[0]
	for i := 1; i < len(who); i++ {
		first := i
		for i+1 < len(who) && number(who[i+1]) == number(who[i])+1 {
			i++
		}
		switch {
		case first == 1 && number(who[1]) == number(who[0])+1:
			out += fmt.Sprintf("..%d", number(who[i]))
		case first == i:
			out += fmt.Sprintf(",%d", number(who[i]))
		default:
			out += fmt.Sprintf(",%d..%d", number(who[first]), number(who[i]))
		}
	}
	return out
}

// number is the number at the end of a node's name.
func number(who string) int {
	n, _ := strconv.Atoi(who[strings.LastIndexByte(who, '-')+1:])
	return n
}

// describe shows the fields that a reader needs to follow the story; "" leaves
// an event out.
func describe(b event.Body) string {
	switch b := b.(type) {
	case event.RequestArrived:
		return fmt.Sprintf("request %d arrives", b.Request)
	case event.AcquisitionNoticed:
		return fmt.Sprintf("%d nodes from %s will join at %s", len(b.Instances), b.Instances[0].Node, b.ReadyAt)
	case event.InstanceAcquired:
		return fmt.Sprintf("%d nodes from %s have joined", len(b.Instances), b.Instances[0].Node)
	case event.PreemptionCancelled:
		return fmt.Sprintf("%v will stay after all", b.Nodes)
	case event.RebalanceRecommended:
		return fmt.Sprintf("%v are more likely to go", b.Nodes)
	case event.PreemptionNoticed:
		return fmt.Sprintf("%v will go at %s", b.Nodes, b.Deadline)
	case event.InstanceLost:
		if b.Released {
			return fmt.Sprintf("%v have been given back", b.Nodes)
		}
		return fmt.Sprintf("%v have gone", b.Nodes)
	case event.SpotCapacityOffered:
		return fmt.Sprintf("spot capacity: %v", b.Nodes)
	case event.SpotCapacityWithdrawn:
		return fmt.Sprintf("spot capacity: no %v from %s on", b.Nodes, b.Deadline)
	case event.InstanceLaunched:
		return fmt.Sprintf("%d %s nodes from %s start, to join at %s", len(b.Instances), b.Instances[0].Market, b.Instances[0].Node, b.ReadyAt)
	case event.RequestFleet:
		return fmt.Sprintf("have %d nodes, on-demand %t, give back %v", b.Instances, b.OnDemand, b.Release)
	case event.ThroughputRequired:
		return fmt.Sprintf("%g requests/s are required", b.RequestsPerSecond)
	case event.RunEnded:
		return fmt.Sprintf("the input ends: %s", b.Reason)
	case event.ConfigChosen:
		return fmt.Sprintf("plan %s: %s for the change at %s, %d devices are new", b.Epoch, b.Config, b.ChangeAt, b.DevicesChanged)
	case event.MigrationPlanned:
		return fmt.Sprintf("plan %s: move %s weights and %s cache, load %s, ready at %s; %d requests resume, %d queue again",
			b.Epoch, gb(b.ModelBytes), gb(b.CacheBytes), gb(b.DiskBytes), b.ReadyAt, b.ResumedRequests, b.RequeuedRequests)
	case event.ApplyMigration:
		return "apply " + b.Epoch.String() + described(b.Pipelines, b.Keep)
	case event.ArrangeInterruption:
		if b.Acquisition && b.At == vtime.Never {
			return fmt.Sprintf("pipeline %d of %s: go on", b.Pipeline, b.Epoch)
		}
		if b.Acquisition {
			return fmt.Sprintf("pipeline %d of %s: stop at %s, for nodes that join", b.Pipeline, b.Epoch, b.At)
		}
		return fmt.Sprintf("pipeline %d of %s: stop %.3fs before %s", b.Pipeline, b.Epoch, b.Migration.Seconds(), b.At)
	case event.StopPipeline:
		return fmt.Sprintf("pipeline %d of %s: stop at once", b.Pipeline, b.Epoch)
	case event.AssignRequests:
		return fmt.Sprintf("pipeline %d of %s: take %s", b.Pipeline, b.Epoch, assigned(b.Requests))
	case event.StageStarted:
		return fmt.Sprintf("pipeline %d of %s: stage up", b.Pipeline, b.Epoch)
	case event.BatchStarted:
		resumed := ""
		if b.Resumed {
			resumed = ", resumed"
		}
		return fmt.Sprintf("pipeline %d of %s: batch %d of %v%s", b.Pipeline, b.Epoch, b.Batch, b.Requests, resumed)
	case event.BatchCompleted:
		return fmt.Sprintf("pipeline %d of %s: batch %d done", b.Pipeline, b.Epoch, b.Batch)
	case event.RequestsJoined:
		resumed := ""
		if b.Resumed {
			resumed = ", resumed"
		}
		return fmt.Sprintf("pipeline %d of %s: %v join batch %d at token %d%s", b.Pipeline, b.Epoch, b.Requests, b.Batch, b.Tokens, resumed)
	case event.RequestsLeft:
		return fmt.Sprintf("pipeline %d of %s: %v leave batch %d at token %d", b.Pipeline, b.Epoch, b.Requests, b.Batch, b.Tokens)
	case event.RequestRefused:
		return fmt.Sprintf("request %d is refused: %s", b.Request, b.Reason)
	case event.PipelineExited:
		return fmt.Sprintf("pipeline %d of %s: exit with %s, not begun %v", b.Pipeline, b.Epoch, progress(b.Interrupted), b.Unprocessed)
	case event.RequestUnfinished:
		return fmt.Sprintf("request %d is unfinished, interrupted %d times", b.Record.Request, b.Record.Interrupted)
	case event.RunFinished:
		return fmt.Sprintf("the run ends: %d accepted, %d completed, %d unfinished, %d interrupted, %d tokens computed in vain",
			b.Accepted, b.Completed, b.UnfinishedAtEnd, b.Interruptions, b.TokensRecomputed)
	}
	return ""
}

func described(pipelines []event.PipelineStart, keep []int) string {
	var s strings.Builder
	for _, p := range pipelines {
		fmt.Fprintf(&s, ", start pipeline %d", p.Pipeline)
		if len(p.Resume) > 0 {
			s.WriteString(" with " + assigned(p.Resume))
		}
	}
	if len(keep) > 0 {
		fmt.Fprintf(&s, ", keep pipelines %v", keep)
	}
	if s.Len() == 0 {
		return ", keep nothing"
	}
	return s.String()
}

// assigned prints requests with their committed tokens, as 3 or 3+17.
func assigned(requests []event.AssignedRequest) string {
	out := make([]event.Progress, len(requests))
	for i, r := range requests {
		out[i] = event.Progress{Request: r.Request, Committed: r.Committed}
	}
	return progress(out)
}

func progress(requests []event.Progress) string {
	out := make([]string, len(requests))
	for i, r := range requests {
		out[i] = fmt.Sprint(r.Request)
		if r.Committed > 0 {
			out[i] += fmt.Sprintf("+%d", r.Committed)
		}
	}
	return "[" + strings.Join(out, " ") + "]"
}

func gb(bytes int64) string { return fmt.Sprintf("%.2f GB", float64(bytes)/float64(1e9)) }
