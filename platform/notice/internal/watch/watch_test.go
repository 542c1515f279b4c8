package watch_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spotserve/spotserve/platform/notice/internal/watch"
)

// TestWaitStaysInItsBounds: never a busy loop, and never so long that a notice
// of half a minute is missed.
func TestWaitStaysInItsBounds(t *testing.T) {
	for _, poll := range []time.Duration{10 * time.Millisecond, time.Second, 20 * time.Second} {
		want := 200 * time.Millisecond
		for n := 1; n <= 60; n++ {
			for range 50 {
				if got := watch.Wait(n, poll); got < want/2 || got > want {
					t.Fatalf("poll %s, failure %d: waits %s, want %s to %s", poll, n, got, want/2, want)
				}
			}
			want = min(2*want, max(5*time.Second, poll))
		}
	}
}

// TestEvery: at the poll interval while all is well, further and further apart
// while it is not, and one line in the log for each change.
func TestEvery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		var asked []time.Duration
		watch.Every(ctx, 4*time.Second, slog.New(slog.NewTextHandler(&log, nil)), func(context.Context) error {
			at := time.Since(began)
			asked = append(asked, at)
			if at > 10*time.Second && at < 30*time.Second {
				return errors.New("no answer")
			}
			return nil
		})
		if !slices.Equal(asked[:4], []time.Duration{0, 4 * time.Second, 8 * time.Second, 12 * time.Second}) {
			t.Errorf("asked at %v, want every 4 s", asked[:4])
		}
		for i := 1; i < len(asked); i++ {
			if gap := asked[i] - asked[i-1]; gap < 100*time.Millisecond || gap > 5*time.Second {
				t.Errorf("asked at %s and %s", asked[i-1], asked[i])
			}
		}
		if last := asked[len(asked)-1]; last < 55*time.Second {
			t.Errorf("asked for the last time at %s of a minute", last)
		}
		if said := log.String(); strings.Count(said, "fails") != 1 || strings.Count(said, "answers again") != 1 || !strings.Contains(said, "no answer") {
			t.Errorf("the log says\n%s", said)
		}
	})
}

// TestEveryEndsWithItsContext, also in mid wait, and does not take the end for a
// failure.
func TestEveryEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		began := time.Now()
		watch.Every(ctx, time.Hour, slog.New(slog.NewTextHandler(&log, nil)), func(ctx context.Context) error {
			return ctx.Err()
		})
		if d := time.Since(began); d != time.Second {
			t.Errorf("it ends after %s, want 1 s", d)
		}
		watch.Every(ctx, time.Hour, slog.New(slog.NewTextHandler(&log, nil)), func(context.Context) error {
			t.Error("asked after the end")
			return nil
		})
		if log.Len() != 0 {
			t.Errorf("it logs %s", log.String())
		}
	})
}
