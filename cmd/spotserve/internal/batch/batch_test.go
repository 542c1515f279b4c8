package batch

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/spotserve/spotserve/core/event"
)

type runnerFunc func(context.Context, event.StartExperiment) (string, error)

func (f runnerFunc) Run(ctx context.Context, s event.StartExperiment) (string, error) {
	return f(ctx, s)
}

func starts(n int) []event.StartExperiment {
	all := make([]event.StartExperiment, n)
	for i := range all {
		all[i].Options.Seed = uint64(i)
	}
	return all
}

// TestRunMakesAll: each once, told by its place, never more at a time than
// there are cores, and all of these at work where there is enough to do.
func TestRunMakesAll(t *testing.T) {
	cores := runtime.GOMAXPROCS(0)
	var mu sync.Mutex
	now, most := 0, 0
	together := make(chan struct{}) // closed when every core is at work
	r := runnerFunc(func(_ context.Context, s event.StartExperiment) (string, error) {
		mu.Lock()
		now++
		most = max(most, now)
		if now == cores && s.Options.Seed < uint64(cores) {
			close(together)
		}
		mu.Unlock()
		<-together
		mu.Lock()
		defer mu.Unlock()
		now--
		return fmt.Sprint("run-", s.Options.Seed), nil
	})
	got := map[int]string{}
	err := Run(t.Context(), r, starts(4*cores), func(i int, run string) {
		mu.Lock()
		defer mu.Unlock()
		got[i] = run
	})
	if err != nil || len(got) != 4*cores || most != cores {
		t.Errorf("%v; %d runs, %d at a time on %d cores", err, len(got), most, cores)
	}
	for i, run := range got {
		if run != fmt.Sprint("run-", i) {
			t.Errorf("run %d is told to be %s", i, run)
		}
	}
}

func TestRunEndsWithTheFirstError(t *testing.T) {
	broken := errors.New("broken")
	var made atomic.Int64
	err := Run(t.Context(), runnerFunc(func(_ context.Context, s event.StartExperiment) (string, error) {
		if s.Options.Seed == 0 {
			return "", broken
		}
		made.Add(1)
		return "run", nil
	}), starts(10_000), func(int, string) {})
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "run 1 of 10000") {
		t.Errorf("got %v", err)
	}
	if made.Load() == 9_999 {
		t.Error("it goes on after an error")
	}
}

// TestRunEndsWithItsContext: those at work hear of it and are told, the
// others never begin.
func TestRunEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var begun, told atomic.Int64
	err := Run(ctx, runnerFunc(func(within context.Context, s event.StartExperiment) (string, error) {
		begun.Add(1)
		if s.Options.Seed == 0 {
			cancel()
		}
		<-within.Done()
		return "run", within.Err()
	}), starts(1000), func(int, string) { told.Add(1) })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if begun.Load() > int64(runtime.GOMAXPROCS(0)) || told.Load() != begun.Load() {
		t.Errorf("%d runs have begun, %d are told", begun.Load(), told.Load())
	}
}
