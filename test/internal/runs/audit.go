// Package runs watches live runs and audits them when they are over: by the run's
// stream every request that arrived has one end, the promises hold, and nobody said
// two things under one name; and the store has what the stream has.
package runs

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/invariant"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/platform/store/open"
	"github.com/spotserve/spotserve/platform/wire"
	"github.com/spotserve/spotserve/services/collector"
)

// Report is what became of a run.
type Report struct {
	Totals event.RunFinished
	Terms  uint64        // planners that led
	Joined int           // workers that joined in mid-run
	Gap    time.Duration // the longest time without a word of the planner
}

func (r Report) String() string {
	return fmt.Sprintf("%d requests, %d completed, %d unfinished, %d late facts, %d planners, %d workers joined again, outage %.1f s",
		r.Totals.Accepted, r.Totals.Completed, r.Totals.UnfinishedAtEnd, r.Totals.LateFacts, r.Terms, r.Joined, r.Gap.Seconds())
}

// MustBeWhole checks a run that is over, by its stream and by the store at url.
func MustBeWhole(t testing.TB, b bus.Follower, url, run string) Report {
	t.Helper()
	a := read(t, b, run)
	for request, ends := range a.ends {
		if len(ends) != 1 || !a.arrived[request] {
			t.Errorf("run %s: request %d, which arrived: %t, ends %d times: %v", run, request, a.arrived[request], len(ends), ends)
		}
	}
	if len(a.ends) != len(a.arrived) {
		t.Errorf("run %s: %d requests arrived, %d ended", run, len(a.arrived), len(a.ends))
	}
	totals := a.report.Totals
	if totals.Lost != 0 || totals.Duplicated != 0 || totals.Accepted != len(a.arrived) || totals.Accepted != totals.Completed+totals.UnfinishedAtEnd {
		t.Errorf("run %s: %d requests arrived; %+v", run, len(a.arrived), totals)
	}
	if err := a.check.Err(); err != nil {
		t.Errorf("run %s: %v", run, err)
	}
	mustHaveRows(t, url, run, a.rows)
	t.Logf("run %s: %s", run, a.report)
	return a.report
}

// audit reads the stream of a run as its planner does: what was said twice
// counts once, and nothing that a worker says after it was found silent.
type audit struct {
	t           testing.TB
	check       *invariant.Checker
	mapper      *collector.Mapper
	rows        store.Batch
	arrived     map[event.RequestID]bool
	ends        map[event.RequestID][]event.ID
	said        map[event.ID][]byte
	silent      map[string]bool
	incarnation map[string]uint64
	report      Report
	heard       time.Time // the planner's last word
}

func read(t testing.TB, b bus.Follower, run string) *audit {
	t.Helper()
	a := &audit{
		t: t, check: invariant.NewChecker(), mapper: collector.NewMapper(),
		arrived: make(map[event.RequestID]bool), ends: make(map[event.RequestID][]event.ID), said: make(map[event.ID][]byte),
		silent: make(map[string]bool), incarnation: make(map[string]uint64),
	}
	var end bus.Message
	var found bool
	var sub bus.Subscription
	err := bus.Insist(t.Context(), slog.New(slog.DiscardHandler), func(ctx context.Context) (err error) {
		if end, found, err = b.Newest(ctx, bus.Runs, wire.RunFilter(run)); err == nil {
			sub, err = b.Follow(ctx, bus.Runs, bus.Position{}, wire.RunFilter(run))
		}
		return err
	})
	if err != nil || !found {
		t.Fatalf("run %s is not on the stream: %v", run, err)
	}
	defer sub.Stop()
	for m := range sub.C() {
		a.take(m)
		if m.Seq >= end.Seq {
			return a
		}
	}
	t.Fatal(sub.Err())
	return nil
}

func (a *audit) take(m bus.Message) {
	a.t.Helper()
	ev, err := wire.DecodeMessage(m.Subject, m.Seq, m.Data)
	if err != nil {
		a.t.Fatalf("message %d: %v", m.Seq, err)
	}
	switch b := ev.Body.(type) {
	case event.WatermarkAdvanced, event.SourcesGivenUp, event.TimerFired, event.RunRecorded:
		return // they pace the run, or tell of its rows
	case event.PlannerElected:
		a.report.Terms = b.Term
		return
	case event.WorkerSilent:
		for _, node := range b.Nodes {
			a.silent[node] = true
		}
		return
	case event.WorkerJoined:
		a.silent[ev.Source], a.incarnation[ev.Source] = false, ev.Incarnation()
		a.report.Joined++
	}
	if a.silent[ev.Source] || ev.Incarnation() < a.incarnation[ev.Source] && !ev.FromOutside() {
		return
	}
	ev.Watermark, ev.Seen, ev.Term = 0, 0, 0
	same, err := wire.Encode(ev)
	if err != nil {
		a.t.Fatal(err)
	}
	if before, again := a.said[ev.ID()]; again {
		if !bytes.Equal(before, same) {
			a.t.Errorf("message %d: %s says something else under this name than before", m.Seq, ev.ID())
		}
		return
	}
	a.said[ev.ID()] = same
	if ev.Source == event.SourcePlanner {
		if !a.heard.IsZero() {
			a.report.Gap = max(a.report.Gap, m.Published.Sub(a.heard))
		}
		a.heard = m.Published
	}
	switch b := ev.Body.(type) {
	case event.RequestArrived:
		a.arrived[b.Request] = true
	case event.RequestCompleted:
		a.ends[b.Record.Request] = append(a.ends[b.Record.Request], ev.ID())
	case event.RequestUnfinished:
		a.ends[b.Record.Request] = append(a.ends[b.Record.Request], ev.ID())
	case event.RequestRefused:
		a.ends[b.Request] = append(a.ends[b.Request], ev.ID())
	case event.RunFinished:
		a.report.Totals = b
	}
	a.check.Take(ev)
	a.mapper.Take(ev, m.Published, &a.rows)
}

// mustHaveRows compares the store with the rows of the facts: each request's
// end, and how many there are of all others.
func mustHaveRows(t testing.TB, url, run string, want store.Batch) {
	t.Helper()
	r, err := open.OpenReader(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	query := func(sql string) [][]any {
		t.Helper()
		rows, err := r.Query(t.Context(), fmt.Sprintf(sql, "'"+run+"'"))
		if err != nil {
			t.Fatal(err)
		}
		return rows.Values
	}
	for table, n := range map[string]int{
		"request_latency": len(want.Requests), "fleet_event": len(want.Fleet), "config_change": len(want.Configs),
		"migration": len(want.Moves), "node_time": len(want.Nodes),
	} {
		if got := query("SELECT count(*) FROM " + table + " WHERE run = %s"); fmt.Sprint(got) != fmt.Sprintf("[[%d]]", n) {
			t.Errorf("run %s: table %s has %v rows, the stream %d", run, table, got, n)
		}
	}
	got := make(map[string]bool)
	for _, v := range query("SELECT request, status, finished_ms FROM request_latency WHERE run = %s") {
		got[fmt.Sprint(v...)] = true
	}
	for _, row := range want.Requests {
		finished := any(nil)
		if row.FinishedMS != nil {
			finished = *row.FinishedMS
		}
		if key := fmt.Sprint(int64(row.Request), row.Status, finished); !got[key] {
			t.Errorf("run %s: the store has no request %s", run, key)
		}
	}
	last := want.Runs[len(want.Runs)-1]
	state := query("SELECT status, accepted, completed, lost, duplicated FROM runs WHERE run = %s")
	if w := fmt.Sprint([][]any{{last.Status, int64(last.Accepted), int64(last.Completed), int64(0), int64(0)}}); fmt.Sprint(state) != w {
		t.Errorf("run %s: the store says %v, the stream %s", run, state, w)
	}
}
