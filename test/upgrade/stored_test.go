//go:build unix

package upgrade

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spotserve/spotserve/core/effect"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/planner"
	"github.com/spotserve/spotserve/core/vtime"
	"github.com/spotserve/spotserve/core/worker"
	"github.com/spotserve/spotserve/platform/actor"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/bus/membus"
	"github.com/spotserve/spotserve/platform/bus/natsbus"
	"github.com/spotserve/spotserve/platform/clock"
	"github.com/spotserve/spotserve/platform/natsserver"
	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/platform/store/open"
	"github.com/spotserve/spotserve/platform/wire"
	"github.com/spotserve/spotserve/services/collector"
)

// stored is a run as a build of the version before left it: its stream and its rows.
type stored struct {
	Commit   string
	Run      string
	Messages []message
	Tables   map[string]table
}

type message struct {
	Subject   string
	Published int64 // Unix nanoseconds
	Data      []byte
}

type table struct {
	Columns []string
	Rows    []string // each in JSON, sorted
}

// tables are those that the collector writes.
var tables = []string{"runs", "request_latency", "request_output", "fleet_event", "config_change", "migration", "node_time"}

// recordEnv names folders of data that "spotserve run" of the version before has
// left, NAME=FOLDER and commas between them: their runs become testdata.
const recordEnv = "SPOTSERVE_UPGRADE_RECORD"

// TestRecord writes testdata.
func TestRecord(t *testing.T) {
	for pair := range strings.SplitSeq(os.Getenv(recordEnv), ",") {
		name, folder, ok := strings.Cut(pair, "=")
		if !ok {
			t.Skipf("it writes testdata where %s says from what", recordEnv)
		}
		commit, err := os.ReadFile(commitFile)
		if err != nil {
			t.Fatal(err)
		}
		s := stored{Commit: strings.TrimSpace(string(commit))}
		server, err := natsserver.Start(natsserver.Options{StoreDir: filepath.Join(folder, "jetstream")})
		if err != nil {
			t.Fatal(err)
		}
		b, err := natsbus.Connect(t.Context(), natsbus.Options{InProcess: server, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		last, err := b.LastSeq(t.Context(), bus.Runs)
		if err != nil {
			t.Fatal(err)
		}
		sub, err := b.Follow(t.Context(), bus.Runs, bus.Position{}, "spot.run.>")
		if err != nil {
			t.Fatal(err)
		}
		for m := range sub.C() {
			s.Run = strings.Split(m.Subject, ".")[2]
			s.Messages = append(s.Messages, message{m.Subject, m.Published.UnixNano(), m.Data})
			if m.Seq >= last {
				sub.Stop()
			}
		}
		if err := errors.Join(b.Close(), server.Shutdown()); err != nil {
			t.Fatal(err)
		}
		s.Tables = rowsOf(t, "sqlite:"+filepath.Join(folder, "store.db"), s.Run, nil)
		var packed bytes.Buffer
		z, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(json.NewEncoder(z).Encode(s), z.Close()); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join("testdata", name+".json.gz"), packed.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// rowsOf reads the rows of a run, of the given columns; all where there are none.
func rowsOf(t *testing.T, url, run string, like map[string]table) map[string]table {
	t.Helper()
	r, err := open.OpenReader(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	out := make(map[string]table)
	for _, name := range tables {
		columns := "*"
		if like != nil {
			columns = strings.Join(like[name].Columns, ", ")
		}
		rows, err := r.Query(t.Context(), fmt.Sprintf("SELECT %s FROM %s WHERE run = '%s'", columns, name, run))
		if err != nil {
			t.Fatal(err)
		}
		got := table{Columns: rows.Columns}
		for _, v := range rows.Values {
			text, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			got.Rows = append(got.Rows, string(text))
		}
		slices.Sort(got.Rows)
		out[name] = got
	}
	return out
}

// eachStored runs a test on every run in testdata.
func eachStored(t *testing.T, test func(t *testing.T, s stored)) {
	t.Helper()
	files, err := filepath.Glob("testdata/*.json.gz")
	if err != nil || len(files) < 2 {
		t.Fatalf("testdata holds %v, %v: want a profiled and a measured run", files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json.gz"), func(t *testing.T) {
			packed, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			z, err := gzip.NewReader(bytes.NewReader(packed))
			if err != nil {
				t.Fatal(err)
			}
			var s stored
			if err := json.NewDecoder(z).Decode(&s); err != nil {
				t.Fatal(err)
			}
			test(t, s)
		})
	}
}

// events are what the stream says; every message of it is believed.
func (s stored) events(t *testing.T) (out []event.Event) {
	t.Helper()
	for i, m := range s.Messages {
		ev, err := wire.DecodeMessage(m.Subject, uint64(i+1), m.Data)
		if err != nil {
			t.Fatalf("message %d on %s: %v", i+1, m.Subject, err)
		}
		if ev.Version != 1 {
			t.Fatalf("message %d is of version %d", i+1, ev.Version)
		}
		out = append(out, ev)
	}
	return out
}

// TestStoredRowsAreTheSame: the collector of today makes the rows that the one of
// the version before made.
func TestStoredRowsAreTheSame(t *testing.T) {
	eachStored(t, func(t *testing.T, s stored) {
		url := "sqlite:" + filepath.Join(t.TempDir(), "store.db")
		w, err := open.Open(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		var rows store.Batch
		mapper := collector.NewMapper()
		for i, ev := range s.events(t) {
			mapper.Take(ev, time.Unix(0, s.Messages[i].Published), &rows)
		}
		if err := errors.Join(w.Write(t.Context(), rows), w.Close()); err != nil {
			t.Fatal(err)
		}
		got := rowsOf(t, url, s.Run, s.Tables)
		for _, name := range tables {
			if want := s.Tables[name]; !slices.Equal(got[name].Rows, want.Rows) {
				t.Errorf("%s has the %d rows\n%s\nand of the version before %d\n%s", name,
					len(got[name].Rows), strings.Join(got[name].Rows, "\n"), len(want.Rows), strings.Join(want.Rows, "\n"))
			}
		}
	})
}

// heard is a core with all that it says.
type heard struct {
	actor.Core
	said []event.Event
}

func (h *heard) Step(now vtime.Time, ev event.Event) []effect.Effect {
	out := h.Core.Step(now, ev)
	for _, e := range out {
		if e.Publishes() {
			h.said = append(h.said, e.Event)
		}
	}
	return out
}

// word is an event without what paces it, as it is on the wire.
func word(t *testing.T, ev event.Event) string {
	t.Helper()
	ev.Watermark, ev.Seen, ev.Term, ev.Version = 0, 0, 0, 1
	data, err := wire.Encode(ev)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// mustSay holds what a core of today has said against what one of the version
// before has.
func mustSay(t *testing.T, got, want []event.Event) {
	t.Helper()
	said := make(map[uint64]event.Event)
	for _, ev := range want {
		said[ev.Seq] = ev
	}
	for _, ev := range got {
		before, ok := said[ev.Seq]
		if !ok {
			t.Fatalf("today's says %s (%T) at %s, which the version before did not", ev.ID(), ev.Body, ev.Time)
		}
		if word(t, ev) != word(t, before) {
			t.Fatalf("today's says\n%+v\nand the version before said\n%+v", ev, before)
		}
		delete(said, ev.Seq)
	}
	for _, seq := range slices.Sorted(maps.Keys(said)) {
		t.Fatalf("today's does not say %+v", said[seq])
	}
}

// onStream has the run on a bus, from its first message up to one of a kind.
func (s stored) onStream(t *testing.T, until event.Kind) *membus.Bus {
	t.Helper()
	b := membus.New(membus.Options{})
	for i, ev := range s.events(t) {
		if ev.Body.Kind() == until {
			break
		}
		if _, err := b.PublishWait(t.Context(), bus.Outgoing{Subject: s.Messages[i].Subject, Data: s.Messages[i].Data}); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func follow(t *testing.T, b *membus.Bus, filters ...string) bus.Subscription {
	t.Helper()
	sub, err := b.Follow(t.Context(), bus.Runs, bus.Position{}, filters...)
	if err != nil {
		t.Fatal(err)
	}
	return sub
}

// TestTodaysPlannerDecidesAlike: a planner of today that takes over a run of the
// version before, just before its end, decides all that the one before has decided,
// and ends the run as that one did.
func TestTodaysPlannerDecidesAlike(t *testing.T) {
	eachStored(t, func(t *testing.T, s stored) {
		synctest.Test(t, func(t *testing.T) {
			var want []event.Event
			for _, ev := range s.events(t) {
				_, mark := ev.Body.(event.WatermarkAdvanced)
				_, elected := ev.Body.(event.PlannerElected)
				if ev.Source == event.SourcePlanner && !mark && !elected {
					want = append(want, ev)
				}
			}
			b := s.onStream(t, event.RunFinished{}.Kind())
			defer b.Close()
			r, found, err := actor.FindRun(t.Context(), b, s.Run)
			if err != nil || !found || r.Start.Schema != 1 {
				t.Fatalf("%+v, %t, %v", r, found, err)
			}
			leads, err := actor.Lead(t.Context(), b, r)
			if err != nil {
				t.Fatal(err)
			}
			core := &heard{Core: planner.New(1)}
			input := follow(t, b, wire.FleetFilter(s.Run), wire.RequestFilter(s.Run), wire.WorkerFacts(s.Run), wire.TimerFilter(s.Run))
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			err = actor.RunPlanner(ctx, actor.Options{
				Run: s.Run, Name: event.SourcePlanner, Core: core, Bus: b, Input: input, Clock: late(t, r),
				Log: slog.New(slog.DiscardHandler), ReorderWait: time.Second,
			}, leads, r.Start.Spec.Delays, core.Core.(*planner.MetaContextManager).Finished)
			if err != nil {
				t.Fatal(err)
			}
			mustSay(t, core.said, want)
			end, found, err := b.Newest(t.Context(), bus.Runs, wire.RunFinishedFilter(s.Run))
			if err != nil || !found {
				t.Fatalf("the run has no end: %v", err)
			}
			if ev, err := wire.DecodeMessage(end.Subject, end.Seq, end.Data); err != nil || ev.Version != 1 {
				t.Errorf("the end of a run of version 1: %+v, %v", ev, err)
			}
		})
	})
}

// late is a clock by which everything that is stored is due.
func late(t *testing.T, r actor.Started) clock.Clock {
	t.Helper()
	c, err := clock.New(time.Now().Add(-24*time.Hour), r.Start.Spec.TimeScale)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestTodaysWorkersSayAlike: workers of today that read what those of the version
// before read say the same. In a measured run they say what their engines do, which
// nobody can repeat.
func TestTodaysWorkersSayAlike(t *testing.T) {
	eachStored(t, func(t *testing.T, s stored) {
		events := s.events(t)
		spec := events[0].Body.(event.RunStarted).Spec
		if spec.Measured() {
			t.Skip("its workers compute")
		}
		for _, node := range spec.Nodes {
			synctest.Test(t, func(t *testing.T) {
				var want []event.Event
				for _, ev := range events {
					if _, mark := ev.Body.(event.WatermarkAdvanced); ev.Source == node && !mark {
						want = append(want, ev)
					}
				}
				b := s.onStream(t, "")
				defer b.Close()
				r, _, err := actor.FindRun(t.Context(), b, s.Run)
				if err != nil {
					t.Fatal(err)
				}
				core := &heard{Core: worker.New(node)}
				input := follow(t, b, append(wire.NoticeFilters(s.Run, node), wire.FleetFilter(s.Run), wire.CommandFilter(s.Run, node),
					wire.PlannerWatermarks(s.Run), wire.RunFinishedFilter(s.Run), wire.SilenceFilter(s.Run))...)
				err = actor.RunWorker(t.Context(), actor.Options{
					Run: s.Run, Name: node, Core: core, Bus: b, Input: input, Clock: late(t, r),
					Log: slog.New(slog.DiscardHandler), ReorderWait: time.Hour,
				}, actor.Joining{}, r.Start.Spec.Delays)
				if err != nil {
					t.Fatal(err)
				}
				mustSay(t, core.said, want)
			})
		}
	})
}
