package bustest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/spotserve/spotserve/platform/bus"
)

var following = map[string]func(*testing.T, New){
	"FollowFromTheStart":       followFromTheStart,
	"FollowFromSeq":            followFromSeq,
	"FollowFromSeqToCome":      followFromSeqToCome,
	"FollowFromNew":            followFromNew,
	"FollowFilters":            followFilters,
	"FollowersAreIndependent":  followersAreIndependent,
	"FollowEndsWithItsContext": followEndsWithItsContext,
	"FollowStop":               followStop,
	"FollowWithEndedContext":   followWithEndedContext,
}

func followFromTheStart(t *testing.T, open New) {
	b := start(t, open, Options{})
	publish(t, b, "spot.run.r.x", 0, 3)
	sub := follow(t, b, bus.Runs, bus.Position{})
	publish(t, b, "spot.run.r.x", 3, 3)
	for i, m := range take(t, sub.C(), 6) {
		if m.Seq != uint64(i+1) || !bytes.Equal(m.Data, payload(i)) {
			t.Errorf("message %d: %q with sequence %d", i, text(m), m.Seq)
		}
	}
}

func followFromSeq(t *testing.T, open New) {
	b := start(t, open, Options{})
	publish(t, b, "spot.run.r.x", 1, 10)
	for _, from := range []uint64{1, 4, 10} {
		sub := follow(t, b, bus.Runs, bus.Position{Seq: from})
		for i, m := range take(t, sub.C(), 11-int(from)) {
			if m.Seq != from+uint64(i) {
				t.Errorf("from %d: sequence %d at place %d", from, m.Seq, i)
			}
		}
	}
}

// A position beyond the end waits for that very message.
func followFromSeqToCome(t *testing.T, open New) {
	b := start(t, open, Options{})
	publish(t, b, "spot.run.r.x", 1, 2)
	sub := follow(t, b, bus.Runs, bus.Position{Seq: 5})
	publish(t, b, "spot.run.r.x", 3, 3)
	if m := next(t, sub.C()); m.Seq != 5 {
		t.Errorf("the first message has sequence %d; want 5", m.Seq)
	}
}

func followFromNew(t *testing.T, open New) {
	b := start(t, open, Options{})
	empty := follow(t, b, bus.Runs, bus.Position{New: true})
	publish(t, b, "spot.run.r.x", 1, 3)
	sub := follow(t, b, bus.Runs, bus.Position{New: true})
	publish(t, b, "spot.run.r.x", 4, 1)
	if m := next(t, sub.C()); m.Seq != 4 {
		t.Errorf("the first new message has sequence %d; want 4", m.Seq)
	}
	if m := next(t, empty.C()); m.Seq != 1 {
		t.Errorf("the first message after an empty stream has sequence %d; want 1", m.Seq)
	}
}

func followFilters(t *testing.T, open New) {
	b := start(t, open, Options{})
	for _, subject := range []string{
		"spot.run.r.fleet.acquired",
		"spot.run.r.request.arrived",
		"spot.run.r.worker.n1.cmd.migrate",
		"spot.run.r.worker.n1.fact.ready",
		"spot.run.r.worker.n2.fact.batch.done",
		"spot.run.q.fleet.acquired",
		"spot.run.r.fleet",
	} {
		publish(t, b, subject, 0, 1)
	}
	publish(t, b, "spot.run.end", 0, 1)
	const last = "spot.run.end"
	tests := []struct {
		filters []string
		want    []uint64
	}{
		{nil, []uint64{1, 2, 3, 4, 5, 6, 7, 8}},
		{[]string{"spot.run.>"}, []uint64{1, 2, 3, 4, 5, 6, 7, 8}},
		{[]string{last, "spot.run.r.fleet.>"}, []uint64{1, 8}},
		{[]string{last, "spot.run.*.fleet.acquired"}, []uint64{1, 6, 8}},
		{[]string{last, "spot.run.r.worker.*.fact.*"}, []uint64{4, 8}},
		{[]string{last, "spot.run.r.worker.*.fact.>"}, []uint64{4, 5, 8}},
		{[]string{last, "spot.run.r.worker.n1.>", "spot.run.q.>"}, []uint64{3, 4, 6, 8}},
		{[]string{last, "spot.run.r.fleet"}, []uint64{7, 8}},
		{[]string{last, "spot.run.nobody.>"}, []uint64{8}},
	}
	for _, tt := range tests {
		sub := follow(t, b, bus.Runs, bus.Position{}, tt.filters...)
		got := []uint64{}
		for len(got) == 0 || got[len(got)-1] != 8 {
			got = append(got, next(t, sub.C()).Seq)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("filters %q select %v; want %v", tt.filters, got, tt.want)
		}
	}
}

// One reader that takes nothing holds up neither the others nor the publisher.
func followersAreIndependent(t *testing.T, open New) {
	b := start(t, open, Options{})
	slow := follow(t, b, bus.Runs, bus.Position{})
	subs := make([]bus.Subscription, 8)
	for i := range subs {
		subs[i] = follow(t, b, bus.Runs, bus.Position{})
	}
	const n = 3000
	publish(t, b, "spot.run.r.x", 0, n)
	for i, sub := range append(subs, slow) {
		for j, m := range take(t, sub.C(), n) {
			if m.Seq != uint64(j+1) {
				t.Fatalf("follower %d: sequence %d at place %d", i, m.Seq, j)
			}
		}
	}
}

func followEndsWithItsContext(t *testing.T, open New) {
	b := start(t, open, Options{})
	for name, n := range map[string]int{"idle": 0, "behind": 1000} {
		publish(t, b, "spot.run.r.x", 0, n)
		ctx, cancel := context.WithCancelCause(t.Context())
		sub, err := b.Follow(ctx, bus.Runs, bus.Position{})
		if err != nil {
			t.Fatal(err)
		}
		cancel(fmt.Errorf("enough"))
		ended(t, sub.C())
		if err := sub.Err(); err != nil {
			t.Errorf("%s: Err = %v; want nil", name, err)
		}
	}
}

func followStop(t *testing.T, open New) {
	b := start(t, open, Options{})
	publish(t, b, "spot.run.r.x", 0, 1000)
	sub := follow(t, b, bus.Runs, bus.Position{})
	next(t, sub.C())
	sub.Stop()
	sub.Stop()
	ended(t, sub.C())
	if err := sub.Err(); err != nil {
		t.Errorf("Err = %v; want nil", err)
	}
}

func followWithEndedContext(t *testing.T, open New) {
	b := start(t, open, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Follow(ctx, bus.Runs, bus.Position{}); err == nil {
		t.Error("Follow succeeds; want an error")
	}
	if _, err := b.Consume(ctx, bus.Runs, "d"); err == nil {
		t.Error("Consume succeeds; want an error")
	}
}
