package serve_test

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/serve"
	"github.com/spotserve/spotserve/core/topology"
	"github.com/spotserve/spotserve/core/vtime"
)

var (
	config = topology.ParallelConfig{Data: 1, Pipeline: 2, Tensor: 4}
	pooled = serve.Policy{Batching: experiment.Pooled, PoolDepth: 1}
)

func seconds(s float64) vtime.Time { return vtime.Seconds(s) }

// running returns a manager with requests 0 and 1 (100 prompt and 10 output
// tokens), arrived at 1 s and in a batch of pipeline 0 since 2 s.
func running(t *testing.T) (*serve.Manager, []event.RequestID) {
	t.Helper()
	m := serve.NewManager(pooled)
	open(m, 0, config, 4)
	m.Accept(0)
	both := []event.RequestID{0, 1}
	for _, id := range both {
		if !m.Arrive(event.RequestArrived{Request: id, PromptTokens: 100, OutputTokens: 10}, seconds(1)) {
			t.Fatalf("request %d is refused", id)
		}
	}
	m.Dispatch()
	m.Started(0, both, 0, seconds(2))
	return m, both
}

func TestARequestServedInOneGo(t *testing.T) {
	m, _ := running(t)
	got, first := m.Complete(0, 1, seconds(5), seconds(5.02))
	want := event.RequestRecord{
		Request: 1, Arrived: seconds(1), Started: seconds(2), Finished: seconds(5.02), Compute: 3 * time.Second,
		PromptTokens: 100, OutputTokens: 10, Pipeline: 0, Config: config,
	}
	if !first || got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got, want := m.Totals(), (serve.Totals{Accepted: 2, Completed: 1, Open: 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestASecondCompletionIsCountedAndDropped(t *testing.T) {
	m, _ := running(t)
	m.Complete(0, 1, seconds(5), seconds(5))
	for _, id := range []event.RequestID{1, 77} { // answered already, and unknown
		if record, first := m.Complete(0, id, seconds(6), seconds(6)); first || record != (event.RequestRecord{}) {
			t.Errorf("request %d completes again: %+v", id, record)
		}
	}
	if got, want := m.Totals(), (serve.Totals{Accepted: 2, Completed: 1, Duplicated: 2, Open: 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestASecondArrivalChangesNothing(t *testing.T) {
	m, _ := running(t)
	if m.Arrive(event.RequestArrived{Request: 0, PromptTokens: 1, OutputTokens: 1}, seconds(9)) {
		t.Error("accepted twice")
	}
	record, _ := m.Complete(0, 0, seconds(5), seconds(5))
	if record.Arrived != seconds(1) || record.PromptTokens != 100 {
		t.Errorf("the second arrival changed %+v", record)
	}
}

// TestCommittedNeverDecreases is promise 3 at its root.
func TestCommittedNeverDecreases(t *testing.T) {
	m, both := running(t)
	// committed reads request 0 by sending it through the queue.
	committed := func() int {
		m.Close(0)
		m.Requeue(both)
		open(m, 0, config, 4)
		m.Accept(0)
		return m.Dispatch()[0].Requests[0].Committed
	}
	for _, step := range []struct {
		name string
		do   func()
		want int
	}{
		{"a batch commits from where it began", func() { m.Commit(0, 4) }, 4},
		{"an older report", func() { m.Commit(0, 2) }, 4},
		{"an interruption further on", func() { m.CommitAt(0, 0, 6) }, 6},
		{"an interruption that says less", func() { m.CommitAt(0, 0, 1) }, 6},
		{"a new batch counts from six", func() { m.Started(0, both, 0, seconds(4)); m.Commit(0, 3) }, 9},
		{"not beyond the last token", func() { m.Commit(0, 300); m.CommitAt(0, 0, 300) }, 10},
		{"of nobody", func() { m.Commit(55, 1); m.CommitAt(0, 55, 1); m.Started(0, []event.RequestID{55}, 0, 1) }, 10},
	} {
		step.do()
		if got := committed(); got != step.want {
			t.Fatalf("%s: %d tokens are committed, want %d", step.name, got, step.want)
		}
	}
}

func TestAQueuedRequestCommitsNothing(t *testing.T) {
	m, _ := running(t)
	m.Requeue(m.Close(0))
	m.Commit(0, 5)
	m.CommitAt(0, 0, 5)
	open(m, 0, config, 4)
	m.Accept(0)
	for _, r := range m.Dispatch()[0].Requests {
		if r.Committed != 0 {
			t.Errorf("request %d keeps %d tokens of a pipeline that was gone", r.Request, r.Committed)
		}
	}
}

func TestAnInterruptionLosesWhatIsNotCommitted(t *testing.T) {
	m, both := running(t)
	m.Commit(0, 4)
	if stopped, lost := m.Interrupt(0, seconds(4), 7); stopped != 2 || lost != 2*3 {
		t.Errorf("stopped %d and lost %d tokens, want 3 of each of two", stopped, lost)
	}
	if stopped, lost := m.Interrupt(0, seconds(5), 9); stopped != 0 || lost != 0 {
		t.Errorf("stopped %d and lost %d tokens of a batch that does not run", stopped, lost)
	}
	m.Requeue(m.Close(0))
	open(m, 3, config, 4)
	m.Accept(3)
	m.Dispatch()
	m.Started(3, both, 0, seconds(10))
	got, _ := m.Complete(3, 0, seconds(12), seconds(12))
	want := event.RequestRecord{
		Request: 0, Arrived: seconds(1), Started: seconds(2), Finished: seconds(12), Compute: 4 * time.Second,
		PromptTokens: 100, OutputTokens: 10, Committed: 4, Recomputed: 3, Interrupted: 1, Pipeline: 3, Config: config,
	}
	if got != want {
		t.Errorf("%+v\nwant %+v", got, want)
	}
}

// TestLossIsBoundedByTheOutput: an estimate of computed tokens may run past the
// batch's end.
func TestLossIsBoundedByTheOutput(t *testing.T) {
	m, _ := running(t)
	if _, lost := m.Interrupt(0, seconds(4), 1000); lost != 2*10 {
		t.Errorf("lost %d tokens, the requests have 10 each", lost)
	}
}

func TestResumeKeepsTheBatchTogether(t *testing.T) {
	m, both := running(t)
	m.CommitAt(0, 0, 6)
	m.CommitAt(0, 1, 5)
	m.Interrupt(0, seconds(4), 0)
	if got := m.Close(0); !slices.Equal(got, both) {
		t.Fatalf("the pool held %v, want %v", got, both)
	}
	if got := m.Close(0); got != nil {
		t.Fatalf("a closed pool holds %v", got)
	}
	open(m, 2, config, 4)
	got := m.Resume(2, both)
	want := []event.AssignedRequest{
		{Request: 0, PromptTokens: 100, OutputTokens: 10, Committed: 6},
		{Request: 1, PromptTokens: 100, OutputTokens: 10, Committed: 5},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	if n := m.CachedTokens(append(both, 99)); n != 106+105 {
		t.Errorf("%d tokens are cached, want 211", n)
	}
	if n := m.LongestPrefill(append(both, 99)); n != 106 {
		t.Errorf("the longest prefill is %d, want 106", n)
	}
}

// TestOnlyRequestsOfClosedPoolsMove: a report may name what it likes, unknown
// requests, answered ones, or some twice.
func TestOnlyRequestsOfClosedPoolsMove(t *testing.T) {
	m, both := running(t)
	open(m, 1, config, 4)
	m.Requeue(both) // still in a pool
	m.Complete(0, 1, seconds(5), seconds(5))
	if got := m.Resume(1, append(both, 99)); len(got) != 0 || m.Totals().Queued != 0 {
		t.Errorf("resumed %+v, queued %d", got, m.Totals().Queued)
	}
	m.Close(0)
	if record, first := m.Complete(0, 0, seconds(5), seconds(5)); first {
		t.Errorf("answered outside of every pool: %+v", record)
	}
	if got := m.Resume(1, []event.RequestID{0, 0, 1, 99}); len(got) != 1 || got[0].Request != 0 {
		t.Errorf("resumed %+v, want request 0 once", got)
	}
	m.Close(1)
	m.Requeue([]event.RequestID{0, 0, 1, 99})
	if got := m.Totals().Queued; got != 1 {
		t.Errorf("%d requests are queued, want request 0 once", got)
	}
}

func TestTheEndOfTheRunEndsEveryRequest(t *testing.T) {
	m, _ := running(t)
	arrive(m, 10, 2)
	m.Complete(0, 1, seconds(5), seconds(5))
	records := m.EndUnfinished(seconds(7))
	var got []event.RequestID
	for _, r := range records {
		got = append(got, r.Request)
		if r.Finished != vtime.Never {
			t.Errorf("%+v has finished", r)
		}
	}
	if !slices.Equal(got, []event.RequestID{0, 10, 11}) {
		t.Errorf("ended %v, want 0, 10 and 11", got)
	}
	if records[0].Compute != 5*time.Second || records[1].Started != vtime.Never || records[1].Pipeline != -1 {
		t.Errorf("records %+v", records)
	}
	if again := m.EndUnfinished(seconds(8)); len(again) != 0 || m.Totals().Queued != 0 {
		t.Errorf("left %v and a queue of %d", again, m.Totals().Queued)
	}
}

// TestAPipelineTellsOfItsOwnRequests: what is told of another's changes nothing.
func TestAPipelineTellsOfItsOwnRequests(t *testing.T) {
	m, both := running(t)
	m.Started(7, both, 0, seconds(4))
	m.CommitAt(7, 0, 9)
	if _, ok := m.Complete(7, 0, seconds(5), seconds(5)); ok || m.Has(7, 0) || !m.Has(0, 0) {
		t.Error("pipeline 7 has a request of pipeline 0")
	}
	if got, ok := m.Complete(0, 0, seconds(5), seconds(5)); !ok || got.Started != seconds(2) {
		t.Errorf("%+v, %t", got, ok)
	}
}
