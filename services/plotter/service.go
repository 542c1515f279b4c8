package plotter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/oklog/run"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/platform/access"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/obs"
	"github.com/spotserve/spotserve/platform/skip"
	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/platform/wire"
	"github.com/spotserve/spotserve/services/plotter/figure"
)

// Options are what the service needs; all fields but Formats must be set.
type Options struct {
	Bus bus.Consumer
	// Open opens the store for reading. It is called for every figure, so the
	// store may come up later than the plotter.
	Open    func(context.Context) (store.Reader, error)
	Folder  string          // of the figures; made if it is not there
	Formats []figure.Format // empty: all
	Log     *slog.Logger
	Metrics prometheus.Registerer
	Ready   *obs.Readiness
	// Drawn, if set, hears what became of each run: the files of its figures,
	// or why it has none.
	Drawn func(run string, files []string, err error)
}

// How long a figure that could not be drawn waits, at first and at most. It
// waits for a store or a disk, so this is wall time.
const (
	firstRetry = time.Second
	lastRetry  = time.Minute
)

// Setup adds the service to the group: it follows what the collector says and,
// when all rows of a run are in the store, draws the figures that the run
// belongs on, as ForRun makes them. Runs that were recorded while no plotter was
// there wait for the next one.
func Setup(g *run.Group, o Options) error {
	if len(o.Formats) == 0 {
		o.Formats = []figure.Format{figure.PNG, figure.SVG, figure.PDF}
	}
	if err := os.MkdirAll(o.Folder, 0o755); err != nil {
		return fmt.Errorf("plotter: figures folder: %w", err)
	}
	if o.Drawn == nil {
		o.Drawn = func(string, []string, error) {}
	}
	s := &service{Options: o, pending: map[string]bus.Delivery{}, metrics: newMetrics()}
	if err := s.metrics.register(o.Metrics); err != nil {
		return err
	}
	var err error
	if s.skips, err = skip.Register(o.Metrics, "plotter", o.Log); err != nil {
		return fmt.Errorf("plotter: metrics: %w", err)
	}
	following := o.Ready.Add("plotter: bus")
	ctx, cancel := context.WithCancel(context.Background())
	g.Add(func() error {
		return bus.Insist(ctx, o.Log, func(ctx context.Context) error { return s.run(ctx, following) })
	}, func(error) { cancel() })
	return nil
}

type service struct {
	Options
	pending map[string]bus.Delivery // of the runs that are recorded and not drawn
	metrics *metrics
	skips   *skip.Teller
}

// run returns nil when its context ends.
func (s *service) run(ctx context.Context, following *obs.Condition) error {
	sub, err := s.Bus.Consume(ctx, bus.Runs, access.PlotterRuns.Name, wire.RecordFilter("*"))
	if err != nil {
		return fmt.Errorf("plotter: consume recorded runs: %w", err)
	}
	defer sub.Stop()
	following.Met()
	defer following.NotMet("stopped")

	var retry <-chan time.Time
	wait := firstRetry
	for {
		select {
		case m, ok := <-sub.C():
			if !ok {
				if err := sub.Err(); err != nil && ctx.Err() == nil {
					return fmt.Errorf("plotter: consume recorded runs: %w", err)
				}
				return nil
			}
			s.take(m)
			s.takeMore(sub)
		case <-retry:
		}
		s.metrics.pending.Set(float64(len(s.pending)))
		s.drawPending(ctx)
		s.metrics.pending.Set(float64(len(s.pending)))
		retry = nil
		if len(s.pending) == 0 {
			wait = firstRetry
		} else {
			retry = time.After(wait)
			wait = min(2*wait, lastRetry)
		}
	}
}

// takeMore takes what is there already: runs of one figure are drawn once.
func (s *service) takeMore(sub bus.Work) {
	for {
		select {
		case m, ok := <-sub.C():
			if !ok {
				return
			}
			s.take(m)
		default:
			return
		}
	}
}

func (s *service) take(m bus.Delivery) {
	e, err := wire.DecodeMessage(m.Subject, m.Seq, m.Data)
	if err != nil {
		s.skips.Message(m.Message, err)
		s.ack(m)
		return
	}
	if recorded, ok := e.Body.(event.RunRecorded); ok {
		s.pending[recorded.Run] = m
		return
	}
	s.ack(m)
}

// drawPending draws the figures of every pending run. What fails stays pending.
func (s *service) drawPending(ctx context.Context) {
	for _, name := range slices.Sorted(maps.Keys(s.pending)) {
		if ctx.Err() != nil {
			return
		}
		if _, still := s.pending[name]; !still {
			continue // it was on the figures of another one
		}
		log := s.Log.With("run", name)
		began := time.Now()
		figures, err := s.draw(ctx, name)
		s.metrics.seconds.Observe(time.Since(began).Seconds())
		var refused *RefusedError
		switch {
		case errors.As(err, &refused):
			s.metrics.figures.WithLabelValues("refused").Inc()
			log.Debug("no figure of this run", "reason", refused.Reason)
			s.Drawn(name, nil, err)
		case ctx.Err() != nil:
			return // it is drawn by the next plotter
		case err != nil:
			s.metrics.figures.WithLabelValues("failed").Inc()
			log.Warn("the figure cannot be drawn yet", "error", err)
			continue
		default:
			s.metrics.figures.WithLabelValues("drawn").Inc()
			var files []string
			for _, f := range figures {
				log.Info("figure drawn", "figure", filepath.Join(s.Folder, f.Name), "formats", s.Formats, "runs", f.Runs)
				files = append(files, s.files(f)...)
			}
			s.Drawn(name, files, nil)
		}
		s.done(name)
		for _, other := range sharing(figures, name) {
			s.done(other)
		}
	}
}

// sharing returns the runs whose figures are those of a run: they are of its
// kind and on all of them.
func sharing(figures []Figure, run string) []string {
	if len(figures) == 0 {
		return nil
	}
	kind, _, _ := strings.Cut(run, "-")
	return slices.DeleteFunc(slices.Clone(figures[0].Runs), func(other string) bool {
		otherKind, _, _ := strings.Cut(other, "-")
		return otherKind != kind || slices.ContainsFunc(figures, func(f Figure) bool { return !slices.Contains(f.Runs, other) })
	})
}

// done acknowledges a run that is drawn.
func (s *service) done(run string) {
	if d, ok := s.pending[run]; ok {
		delete(s.pending, run)
		s.ack(d)
	}
}

// ack lets a message go. If that gets lost the message comes again, and the
// same figure is drawn again.
func (s *service) ack(d bus.Delivery) {
	if err := d.Ack(); err != nil {
		s.Log.Debug("acknowledgement lost", "sequence", d.Seq, "error", err)
	}
}

// draw makes the figures of a run and saves them.
func (s *service) draw(ctx context.Context, name string) (figures []Figure, err error) {
	r, err := s.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if figures, err = ForRun(ctx, r, name); err != nil {
		return nil, err
	}
	for _, f := range figures {
		for _, file := range s.files(f) {
			if err := f.Save(file); err != nil {
				return nil, err
			}
		}
	}
	return figures, nil
}

func (s *service) files(f Figure) []string {
	files := make([]string, len(s.Formats))
	for i, format := range s.Formats {
		files[i] = filepath.Join(s.Folder, f.Name+"."+string(format))
	}
	return files
}
