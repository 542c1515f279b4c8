package bench

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/draw"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/sim"
	"github.com/spotserve/spotserve/core/vtime"
	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/platform/store/sqlite"
	"github.com/spotserve/spotserve/services/collector"
)

// The day: OPT-6.7B on 200 nodes of four GPUs, one pipeline a node, that come
// and go for 24 hours while a million requests arrive.
const (
	dayNodes    = 200
	dayRequests = 1_000_000
	dayMeanUp   = 8 * time.Hour
	dayMeanDown = 30 * time.Minute
)

// BenchmarkDay plays the day:
//
//	core    the simulation alone, with every promise checked
//	rows    with its log mapped to rows
//	sqlite  with the rows written to a new store, a chunk while the next one fills
func BenchmarkDay(b *testing.B) {
	if testing.Short() {
		b.Skip("takes three times ten seconds")
	}
	spec, _ := resolve(b, "6.7B", "As")
	b.Run("core", func(b *testing.B) {
		day(b, spec, func() (func(event.Event) error, func() error) {
			return func(event.Event) error { return nil }, func() error { return nil }
		})
	})
	b.Run("rows", func(b *testing.B) {
		day(b, spec, func() (func(event.Event) error, func() error) {
			return recordDay(func(store.Batch) error { return nil })
		})
	})
	b.Run("sqlite", func(b *testing.B) {
		day(b, spec, func() (func(event.Event) error, func() error) {
			w, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "store.db"))
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { w.Close() })
			return recordDay(func(rows store.Batch) error { return w.Write(context.WithoutCancel(b.Context()), rows) })
		})
	})
}

// day plays the day with logs from open; each is closed after its run.
func day(b *testing.B, spec experiment.Spec, open func() (log func(event.Event) error, done func() error)) {
	events, preemptions, pipelines := 0, 0, 0
	var end event.RunFinished
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // as command spotserve has it
	resetPeak(b)
	used := cpu(b)
	for b.Loop() {
		spec, timeline := dayOf(spec, 1)
		log, done := open()
		err := sim.Run("day", spec, timeline, func(ev event.Event) error {
			events++
			switch body := ev.Body.(type) {
			case event.PreemptionNoticed:
				preemptions++
			case event.ConfigChosen:
				pipelines = max(pipelines, body.Config.Data)
			case event.RunFinished:
				end = body
			}
			return log(ev)
		})
		if err != nil {
			b.Fatal(err)
		}
		if err := done(); err != nil {
			b.Fatal(err)
		}
	}
	if end.Accepted < dayRequests*99/100 || end.Completed < end.Accepted*99/100 {
		b.Fatalf("the fleet does not keep up: %+v", end)
	}
	b.ReportMetric(float64(pipelines), "pipelines")
	b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(events)/float64(b.N), "events/op")
	b.ReportMetric(float64(preemptions)/float64(b.N), "preemptions/op")
	b.ReportMetric((cpu(b)-used).Seconds()/float64(b.N), "cpu-s/op")
	reportPeak(b)
}

// recordDay maps a log to rows and gives them to write in chunks, one of them
// while the next one fills.
func recordDay(write func(store.Batch) error) (log func(event.Event) error, done func() error) {
	mapper, began := collector.NewMapper(), time.Now()
	var rows store.Batch
	writing := make(chan error, 1)
	writing <- nil
	flush := func() error {
		if err := <-writing; err != nil {
			writing <- nil
			return err
		}
		chunk := rows
		rows = store.Batch{}
		go func() { writing <- write(chunk) }()
		return nil
	}
	log = func(ev event.Event) error {
		mapper.Take(ev, began, &rows)
		if len(rows.Requests) < 8192 {
			return nil
		}
		return flush()
	}
	return log, func() error {
		if err := flush(); err != nil {
			return err
		}
		return <-writing
	}
}

// dayOf is the day that a seed draws.
func dayOf(spec experiment.Spec, seed uint64) (experiment.Spec, experiment.Timeline) {
	t := experiment.Timeline{End: vtime.Seconds(24 * 3600)}
	present := make([]bool, dayNodes)
	r := draw.Stream(seed, "day/fleet")
	spec.Nodes = nil
	type flip struct {
		at   vtime.Time
		node int
	}
	var flips []flip
	first := experiment.Change{Kind: experiment.Add}
	for n := range dayNodes {
		spec.Nodes = append(spec.Nodes, "node-"+strconv.Itoa(n))
		present[n] = true
		first.Instances = append(first.Instances, dayNode(n))
		at := vtime.Time(0)
		for up := true; ; up = !up {
			mean := dayMeanUp
			if !up {
				mean = dayMeanDown
			}
			at = at.Add(time.Duration(r.ExpFloat64() * float64(mean))).Add(time.Minute)
			if at >= t.End {
				break
			}
			flips = append(flips, flip{at, n})
		}
	}
	slices.SortFunc(flips, func(a, b flip) int { return int(a.at - b.at) })
	t.Changes = append(t.Changes, first)
	for _, f := range flips {
		kind := experiment.Remove
		if !present[f.node] {
			kind = experiment.Add
		}
		present[f.node] = !present[f.node]
		t.Changes = append(t.Changes, experiment.Change{At: f.at, Kind: kind, Instances: []experiment.Instance{dayNode(f.node)}})
	}
	rate := dayRequests / t.End.Seconds()
	a := draw.Stream(seed, "day/arrivals")
	t.Arrivals = make([]experiment.Arrival, dayRequests)
	for i := range t.Arrivals {
		t.Arrivals[i].At = vtime.Time(a.Int64N(int64(t.End)))
	}
	slices.SortFunc(t.Arrivals, func(x, y experiment.Arrival) int { return int(x.At - y.At) })
	spec.ArrivalRate, spec.End, spec.LargestFleet = rate, t.End, dayNodes*spec.Instance.GPUs
	// A load at which one pipeline a node is the answer.
	spec.RequiredThroughput = 5 * rate
	return spec, t
}

func dayNode(n int) experiment.Instance {
	return experiment.Instance{Node: "node-" + strconv.Itoa(n), Market: cost.Spot, GPUs: 4}
}

// cpu is the processor time of all threads so far: on a machine that others use
// too it says more than the time that went by.
func cpu(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// resetPeak lets the kernel forget the most memory that the process has held.
func resetPeak(b *testing.B) {
	debug.FreeOSMemory()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		b.Logf("the peak is that of the whole process: %v", err)
	}
}

// reportPeak reports the most memory that the process has held since.
func reportPeak(b *testing.B) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return // only Linux tells
	}
	for line := range strings.Lines(string(status)) {
		if kib, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(kib), "kB")), 64)
			if err != nil {
				n = math.NaN()
			}
			b.ReportMetric(n/1024, "peak-MiB")
		}
	}
}
