package bench

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/oklog/run"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/bus/membus"
	"github.com/spotserve/spotserve/platform/obs"
	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/platform/store/clickhouse"
	"github.com/spotserve/spotserve/platform/store/sqlite"
	"github.com/spotserve/spotserve/platform/store/storetest/chtest"
	"github.com/spotserve/spotserve/platform/wire"
	"github.com/spotserve/spotserve/services/collector"
)

// BenchmarkCollector brings the rows of one run, 6.7B on A_S, into a store. An
// operation is a run that the store does not have yet. Three ways, each part of
// the one before:
//
//	service  the collector as deployed, from the facts on an in-memory bus to
//	         the word that the run is recorded
//	writer   the store's writer alone, with the rows at hand
//	raw      the database's own client alone, with the request rows at hand
func BenchmarkCollector(b *testing.B) {
	facts := runFacts(b)
	b.Run("sqlite", func(b *testing.B) {
		path := filepath.Join(b.TempDir(), "store.db")
		w, err := sqlite.Open(b.Context(), path)
		if err != nil {
			b.Fatal(err)
		}
		defer w.Close()
		threeWays(b, w, facts, openRawSQLite(b, path))
	})
	b.Run("clickhouse", func(b *testing.B) {
		url := chtest.Start(b).URL("bench")
		w, err := clickhouse.Open(b.Context(), url)
		if err != nil {
			b.Fatal(err)
		}
		defer w.Close()
		threeWays(b, w, facts, openRawClickHouse(b, url))
	})
}

// insertRaw inserts rows of table request_latency.
type insertRaw func(rows []store.RequestLatency) error

func threeWays(b *testing.B, w store.Writer, facts []event.Event, insert insertRaw) {
	n := 0 // of the run's name: each way goes on where the one before ended
	name := func() string {
		n++
		return fmt.Sprintf("e2e-%d", n)
	}
	b.Run("service", func(b *testing.B) { service(b, w, facts, name) })
	b.Run("writer", func(b *testing.B) {
		rows := 0
		for b.Loop() {
			b.StopTimer()
			batch := rowsOf(facts, name())
			b.StartTimer()
			if err := w.Write(b.Context(), batch); err != nil {
				b.Fatal(err)
			}
			rows += batch.Len()
		}
		reportRows(b, rows)
	})
	b.Run("raw", func(b *testing.B) {
		rows := 0
		for b.Loop() {
			b.StopTimer()
			batch := rowsOf(facts, name())
			b.StartTimer()
			if err := insert(batch.Requests); err != nil {
				b.Fatal(err)
			}
			rows += len(batch.Requests)
		}
		reportRows(b, rows)
	})
}

// service runs the collector on a bus and sends it one run after the other.
func service(b *testing.B, w store.Writer, facts []event.Event, name func() string) {
	over := membus.New(membus.Options{})
	ready := new(obs.Readiness)
	var g run.Group
	if err := collector.Setup(&g, collector.Options{
		Holder: "bench", Bus: over, Store: w, Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(), Ready: ready,
	}); err != nil {
		b.Fatal(err)
	}
	stop := make(chan struct{})
	g.Add(func() error { <-stop; return nil }, func(error) {})
	ended := make(chan error, 1)
	go func() { ended <- g.Run() }()
	defer func() {
		close(stop)
		if err := <-ended; err != nil {
			b.Error(err)
		}
		over.Close()
	}()
	if err := ready.Wait(b.Context()); err != nil {
		b.Fatal(err)
	}
	recorded, err := over.Follow(b.Context(), bus.Runs, bus.Position{}, wire.RecordFilter("*"))
	if err != nil {
		b.Fatal(err)
	}
	rows := 0
	for b.Loop() {
		b.StopTimer()
		messages := encode(b, facts, name())
		b.StartTimer()
		for _, m := range messages {
			if err := over.Publish(b.Context(), m); err != nil {
				b.Fatal(err)
			}
		}
		rows += await(b, recorded)
	}
	reportRows(b, rows)
}

// await returns how many rows the next recorded run has.
func await(b *testing.B, recorded bus.Subscription) int {
	m, ok := <-recorded.C()
	if !ok {
		b.Fatal(recorded.Err())
	}
	ev, err := wire.Decode(m.Data)
	if err != nil {
		b.Fatal(err)
	}
	return ev.Body.(event.RunRecorded).Rows
}

// runFacts plays a run and keeps what ends in the store.
func runFacts(b *testing.B) []event.Event {
	b.Helper()
	var facts []event.Event
	spec, timeline := resolve(b, "6.7B", "As")
	play(b, spec, timeline, func(ev event.Event) {
		var rows store.Batch
		if collector.NewMapper().Take(ev, time.Time{}, &rows); rows.Len() > 0 {
			facts = append(facts, ev)
		}
	})
	return facts
}

// rowsOf maps the facts to the rows of a run of the given name.
func rowsOf(facts []event.Event, name string) store.Batch {
	var rows store.Batch
	mapper := collector.NewMapper()
	for _, ev := range facts {
		ev.Run = name
		mapper.Take(ev, time.Time{}, &rows)
	}
	return rows
}

// encode puts the facts on the wire as those of a run of the given name.
func encode(b *testing.B, facts []event.Event, name string) []bus.Outgoing {
	b.Helper()
	out := make([]bus.Outgoing, len(facts))
	for i, ev := range facts {
		ev.Run = name
		subject, err := wire.Subject(ev)
		if err != nil {
			b.Fatal(err)
		}
		data, err := wire.Encode(ev)
		if err != nil {
			b.Fatal(err)
		}
		out[i] = bus.Outgoing{Subject: subject, Data: data}
	}
	return out
}

func reportRows(b *testing.B, rows int) {
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
}
