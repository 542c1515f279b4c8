//go:build unix

package chaos

import "github.com/spotserve/spotserve/test/internal/runs"

// mustBeWhole waits until a run is over and checks it.
func (s *site) mustBeWhole(run string) runs.Report {
	s.t.Helper()
	s.watch.AwaitEnd(run)
	return runs.MustBeWhole(s.t, s.bus, s.store, run)
}
