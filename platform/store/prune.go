package store

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// Pruner removes runs from a store. It is a writer: where a store has one
// writer, it is that one.
type Pruner interface {
	// Prune removes every row of the runs. A run without rows is none less. After
	// an error some of the runs are gone, and those that are not whole are still
	// in table runs: the same call may be made again. gone, if it is not nil, is
	// told of every few runs more that are gone.
	Prune(ctx context.Context, runs []string, gone func(runs int)) error
	Reader
}

// Ended returns when the run ended, by the wall clock. It is false of a run that
// waits or goes on.
func (r Run) Ended() (at time.Time, ok bool) {
	at = time.UnixMilli(r.StartedUnixMS)
	switch r.Status {
	case "refused":
		return at, true
	case "finished", "stopped":
		if !r.Virtual && r.TimeScale > 0 { // virtual time takes none of the clock
			at = at.Add(time.Duration(r.DurationMS / r.TimeScale * float64(time.Millisecond)))
		}
		return at, true
	}
	return time.Time{}, false
}

// EndedBefore returns, of runs, those that ended before an instant, the first to
// end first. The keep runs that ended last are not among them.
func EndedBefore(runs []Run, before time.Time, keep int) []Run {
	var ended []Run
	for _, r := range runs {
		if _, ok := r.Ended(); ok {
			ended = append(ended, r)
		}
	}
	slices.SortStableFunc(ended, func(a, b Run) int {
		x, _ := a.Ended()
		y, _ := b.Ended()
		return cmp.Or(x.Compare(y), cmp.Compare(a.Run, b.Run))
	})
	ended = ended[:max(0, len(ended)-max(0, keep))]
	first := slices.IndexFunc(ended, func(r Run) bool {
		at, _ := r.Ended()
		return !at.Before(before)
	})
	if first < 0 {
		return ended
	}
	return ended[:first]
}
