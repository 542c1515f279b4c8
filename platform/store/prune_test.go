package store_test

import (
	"slices"
	"testing"
	"time"

	"github.com/spotserve/spotserve/platform/store"
)

func TestEndedBefore(t *testing.T) {
	const minute = 60_000
	runs := []store.Run{
		{Run: "live", Status: "finished", StartedUnixMS: 0, DurationMS: 1200 * minute, TimeScale: 60}, // ends at 20 min
		{Run: "real", Status: "stopped", StartedUnixMS: 0, DurationMS: 30 * minute, TimeScale: 1},
		{Run: "virtual", Status: "finished", StartedUnixMS: 10 * minute, DurationMS: 1200 * minute, Virtual: true},
		{Run: "waits", Status: "queued"},
		{Run: "goes-on", Status: "running", DurationMS: minute, TimeScale: 60},
		{Run: "start-3", Status: "refused", StartedUnixMS: 5 * minute},
	}
	for _, c := range []struct {
		before, keep int // minutes, runs
		want         []string
	}{
		{before: 60, want: []string{"start-3", "virtual", "live", "real"}},
		{before: 60, keep: 1, want: []string{"start-3", "virtual", "live"}},
		{before: 60, keep: 4},
		{before: 60, keep: 9},
		{before: 60, keep: -1, want: []string{"start-3", "virtual", "live", "real"}},
		{before: 20, want: []string{"start-3", "virtual"}}, // at that instant is not before it
		{before: 20, keep: 2, want: []string{"start-3", "virtual"}},
		{before: 20, keep: 3, want: []string{"start-3"}},
		{before: 0},
	} {
		var got []string
		for _, r := range store.EndedBefore(runs, time.UnixMilli(int64(c.before)*minute), c.keep) {
			got = append(got, r.Run)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("before minute %d, keep %d: %v, want %v", c.before, c.keep, got, c.want)
		}
	}
}
