package collector

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/pflag"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/platform/access"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/obs"
	"github.com/spotserve/spotserve/platform/wire"
)

// Retention says which runs the streams keep. A run whose rows are not all stored
// is kept in any case, and so is the one that was stored last.
type Retention struct {
	Age  time.Duration // how long ago, in wall time, its rows were stored; 0: no matter
	Runs int           // how many runs, the newest; 0: all
}

// AddFlags adds --retention and --keep-runs.
func (r *Retention) AddFlags(fs *pflag.FlagSet) {
	fs.DurationVar(&r.Age, "retention", 0, "wall time after which a stored run is purged from the stream; 0: never")
	fs.IntVar(&r.Runs, "keep-runs", 0, "how many stored runs stay in the stream, the newest; 0: all")
}

// Check refuses what is no age and no number of runs.
func (r Retention) Check() error {
	if r.Age < 0 || r.Runs < 0 {
		return fmt.Errorf("--retention %s and --keep-runs %d: allowed are numbers from 0 on", r.Age, r.Runs)
	}
	return nil
}

// retentionLook is the pause between looks at what is too old, in wall time.
const retentionLook = time.Minute

// retain forgets what is too old, until the context ends. The rows of the runs
// stay.
func (s *service) retain(ctx context.Context) error {
	look := time.NewTicker(retentionLook)
	defer look.Stop()
	var outage obs.Outage
	for s.Retention != (Retention{}) {
		if err := s.forget(ctx); err != nil && ctx.Err() == nil {
			s.metrics.unpurged.Inc()
			outage.Failed(s.Log, "what is too old is not purged; it is tried again", err)
		} else if err == nil {
			outage.Over(s.Log, "what is too old is purged again")
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return nil
		}
	}
	<-ctx.Done()
	return nil
}

// forget purges once. Starts go before their runs: a start with an answer and
// without a run would be one that waits for its turn.
func (s *service) forget(ctx context.Context) error {
	old, err := s.old(ctx)
	if err != nil || len(old) == 0 {
		return err
	}
	waiting, err := s.Bus.Waiting(ctx, bus.Control, access.CollectorControl.Name)
	if err != nil || waiting > 0 {
		return err // there are answers whose rows are not stored
	}
	floor, needed, err := s.floor(ctx, old)
	if err != nil {
		return err
	}
	if err := s.Bus.PurgeBefore(ctx, bus.Control, floor); err != nil {
		return err
	}
	for _, run := range old {
		if needed[run] {
			continue
		}
		if err := s.Bus.Purge(ctx, bus.Runs, wire.RunFilter(run)); err != nil {
			return err
		}
		s.metrics.purged.Inc()
		s.Log.Info("run purged from the stream; its rows stay", "run", run)
	}
	return nil
}

// old lists the runs that need not be kept, in the order in which they were
// stored.
func (s *service) old(ctx context.Context) (old []string, err error) {
	type stored struct {
		run string
		at  time.Time
	}
	var runs []stored
	err = s.each(ctx, bus.Runs, func(m bus.Message) {
		ev, err := wire.DecodeMessage(m.Subject, m.Seq, m.Data)
		if _, ok := ev.Body.(event.RunRecorded); err != nil || !ok {
			return
		}
		// Two collectors may both have said it; the later word counts.
		runs = slices.DeleteFunc(runs, func(r stored) bool { return r.run == ev.Run })
		runs = append(runs, stored{ev.Run, m.Published})
	}, wire.RecordFilter("*"))
	for i, r := range runs {
		newer := len(runs) - 1 - i
		tooMany := s.Retention.Runs > 0 && newer >= s.Retention.Runs
		tooOld := s.Retention.Age > 0 && time.Since(r.at) > s.Retention.Age
		if newer > 0 && (tooMany || tooOld) {
			old = append(old, r.run)
		}
	}
	return old, err
}

// floor is the sequence of the first start that is still needed, because its run
// is, or it has none yet; and the runs whose starts come later.
func (s *service) floor(ctx context.Context, old []string) (floor uint64, needed map[string]bool, err error) {
	done := make(map[uint64]bool)
	runs := make(map[uint64]string)
	var starts []uint64
	err = s.each(ctx, bus.Control, func(m bus.Message) {
		if m.Subject == wire.SubjectStart {
			starts = append(starts, m.Seq)
			return
		}
		body, err := wire.DecodeControl(m.Subject, m.Data)
		if err != nil {
			return
		}
		switch b := body.(type) {
		case event.ExperimentAccepted:
			runs[b.StartSeq] = b.Run
			done[b.StartSeq] = slices.Contains(old, b.Run)
		case event.ExperimentRefused:
			done[b.StartSeq] = time.Since(m.Published) >= s.Retention.Age
		}
	}, wire.SubjectStart, wire.SubjectAccepted, wire.SubjectRefused)
	needed = make(map[string]bool)
	for _, start := range starts {
		if floor == 0 && !done[start] {
			floor = start
		}
		if floor > 0 {
			needed[runs[start]] = true
		}
	}
	return floor, needed, err
}

// each takes the messages of a stream as far as it is.
func (s *service) each(ctx context.Context, stream bus.Stream, take func(bus.Message), filters ...string) error {
	var last uint64
	for _, f := range filters {
		m, _, err := s.Bus.Newest(ctx, stream, f)
		if err != nil {
			return err
		}
		last = max(last, m.Seq)
	}
	if last == 0 {
		return nil
	}
	sub, err := s.Bus.Follow(ctx, stream, bus.Position{}, filters...)
	if err != nil {
		return err
	}
	defer sub.Stop()
	for m := range sub.C() {
		take(m)
		if m.Seq >= last {
			return nil
		}
	}
	return fmt.Errorf("read %s: %w", stream, errors.Join(ctx.Err(), sub.Err()))
}
