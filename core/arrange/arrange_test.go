package arrange_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/spotserve/spotserve/core/arrange"
	"github.com/spotserve/spotserve/core/draw"
	"github.com/spotserve/spotserve/core/vtime"
)

// batch starts at 100 s, prefills for 2 s, and decodes ten tokens of 1 s: token k
// is there at 102+k, the answer at 112.5.
var batch = arrange.Batch{
	Start: vtime.Seconds(100), Prefill: 2 * time.Second, Token: time.Second, Tail: 500 * time.Millisecond, Tokens: 10,
}

func TestTimetable(t *testing.T) {
	if got := batch.End(); got != vtime.Seconds(112.5) {
		t.Errorf("ends at %s", got)
	}
	for seconds, want := range map[float64]int{99: 0, 102: 0, 102.9: 0, 103: 1, 103.5: 1, 111.9: 9, 112: 10, 200: 10} {
		if got := batch.Done(vtime.Seconds(seconds)); got != want {
			t.Errorf("at %v s %d tokens are there, want %d", seconds, got, want)
		}
	}
	if got := (arrange.Batch{Start: batch.Start}).Done(vtime.Seconds(200)); got != 0 {
		t.Errorf("a batch without tokens has made %d", got)
	}
}

func TestStop(t *testing.T) {
	i := arrange.Interruption{At: vtime.Seconds(130), Migration: 4 * time.Second}
	if got := i.Stop(); got != vtime.Seconds(126) {
		t.Errorf("before a preemption stops at %s, want 126 s", got)
	}
	if got := i.IdleExit(2 * time.Second); got != vtime.Seconds(124) {
		t.Errorf("an idle pipeline exits at %s, want 124 s", got)
	}
	i.Acquisition = true
	if got := i.Stop(); got != vtime.Seconds(130) {
		t.Errorf("before an acquisition stops at %s, want 130 s", got)
	}
}

func TestTokens(t *testing.T) {
	for _, tt := range []struct {
		name        string
		acquisition bool
		stop        float64 // seconds
		want        int
	}{
		{"preemption: all of it fits", false, 112.5, 10},
		{"preemption: the answer does not fit, its last token does not count", false, 112.4, 9},
		{"preemption: between two tokens", false, 107.5, 5},
		{"preemption: on a token, which is not before the stop", false, 107, 4},
		{"preemption: just after the first token", false, 103.001, 1},
		{"preemption: on the first token", false, 103, 0},
		{"preemption: within the prefill", false, 101, 0},
		{"preemption: before the batch", false, 90, 0},

		{"acquisition: after the batch", true, 112.5, 10},
		{"acquisition: within the tail", true, 112.2, 10},
		{"acquisition: between two tokens", true, 107.5, 6},
		{"acquisition: on a token", true, 107, 5},
		{"acquisition: within the prefill", true, 101, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			i := arrange.Interruption{Acquisition: tt.acquisition, At: vtime.Seconds(tt.stop)}
			if !tt.acquisition { // the migration only moves the stop
				i.At, i.Migration = i.At.Add(4*time.Second), 4*time.Second
			}
			if got := i.Tokens(batch); got != tt.want {
				t.Errorf("decodes %d tokens, want %d", got, tt.want)
			}
		})
	}
}

func randomBatch(r *rand.Rand) arrange.Batch {
	return arrange.Batch{
		Start: vtime.Time(r.IntN(100)), Prefill: time.Duration(r.IntN(50)), Token: time.Duration(1 + r.IntN(10)),
		Tail: time.Duration(r.IntN(5)), Tokens: 1 + r.IntN(20),
	}
}

// TestPreemptionTakesTheLargestThatFits: S is the largest with
// l_exe(S) < T - T_mig.
func TestPreemptionTakesTheLargestThatFits(t *testing.T) {
	r := draw.Stream(1, "preemption")
	for range 50_000 {
		b := randomBatch(r)
		i := arrange.Interruption{At: vtime.Time(r.IntN(400)), Migration: time.Duration(r.IntN(50))}
		k := i.Tokens(b)
		switch {
		case k < 0 || k > b.Tokens:
			t.Fatalf("%+v, %+v: %d tokens", b, i, k)
		case k == b.Tokens:
			if b.End() > i.Stop() {
				t.Fatalf("%+v runs whole past %d", b, i.Stop())
			}
			continue
		case k > 0 && b.At(k) >= i.Stop():
			t.Fatalf("%+v: token %d is there at %d, not before %d", b, k, b.At(k), i.Stop())
		}
		if next := b.At(k + 1); k+1 < b.Tokens && next < i.Stop() {
			t.Fatalf("%+v: stops after %d tokens, but the next is there at %d, before %d", b, k, next, i.Stop())
		}
	}
}

// TestAcquisitionTakesTheSmallestThatReaches: S is the smallest with
// l_exe(S) >= T, or the whole batch.
func TestAcquisitionTakesTheSmallestThatReaches(t *testing.T) {
	r := draw.Stream(1, "acquisition")
	for range 50_000 {
		b := randomBatch(r)
		i := arrange.Interruption{Acquisition: true, At: vtime.Time(r.IntN(400)), Migration: time.Duration(r.IntN(50))}
		k := i.Tokens(b)
		if k < 0 || k > b.Tokens {
			t.Fatalf("%+v, %+v: %d tokens", b, i, k)
		}
		if k < b.Tokens && b.At(k) < i.At {
			t.Fatalf("%+v: token %d is there at %d, before %d", b, k, b.At(k), i.At)
		}
		if k > 0 && k < b.Tokens && b.At(k-1) >= i.At {
			t.Fatalf("%+v: a token less than %d reaches %d too", b, k, i.At)
		}
	}
}
