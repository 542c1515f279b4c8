// Package history compares what happened in runs: the events of a live run, as
// its stream has them, with those of the same experiment in virtual time.
package history

import (
	"fmt"
	"reflect"
	"slices"

	"github.com/spotserve/spotserve/catalog"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/sim"
	"github.com/spotserve/spotserve/core/vtime"
)

// Virtual is what happens in virtual time, in the order in which it is taken.
func Virtual(run string, start event.StartExperiment) (events []event.Event, err error) {
	spec, timeline, err := catalog.Resolve(start)
	if err != nil {
		return nil, err
	}
	spec.Virtual, spec.TimeScale = true, 0
	err = sim.Run(run, spec, timeline, func(ev event.Event) error {
		events = append(events, ev)
		return nil
	})
	return events, err
}

// Difference says where a live run departs from a virtual one; "" if it does
// not.
func Difference(live, virtual []event.Event) string {
	got, want := facts(live), facts(virtual)
	for i := range min(len(got), len(want)) {
		if !reflect.DeepEqual(got[i], want[i]) {
			return fmt.Sprintf("event %d of %d is live\n%+v\nand virtual\n%+v", i, len(want), got[i], want[i])
		}
	}
	if len(got) != len(want) {
		return fmt.Sprintf("%d events live, %d virtual", len(got), len(want))
	}
	return ""
}

// facts takes out of a run's events what only paces a live run or tells of its
// rows, and puts them into the declared order: a stream has them in the order of
// their publication.
//
// What a planner set off by its clock after another one was elected is void, and
// what both said counts once.
func facts(events []event.Event) (out []event.Event) {
	var term uint64
	seen := make(map[event.ID]bool)
	for _, ev := range events {
		switch body := ev.Body.(type) {
		case event.PlannerElected:
			term = body.Term
			continue
		case event.WatermarkAdvanced, event.RunRecorded, event.SourcesGivenUp:
			continue
		case event.TimerFired:
			if ev.Term < term {
				continue
			}
		case event.RunStarted:
			body.WallStart, body.Spec.TimeScale, body.Spec.Virtual = 0, 0, false
			ev.Body = body
		}
		if seen[ev.ID()] {
			continue
		}
		seen[ev.ID()] = true
		ev.Watermark, ev.Seen, ev.Term = 0, 0, 0
		forgetTerms(reflect.ValueOf(&ev).Elem())
		out = append(out, ev)
	}
	slices.SortFunc(out, event.Compare)
	return out
}

// forgetTerms gives every epoch inside v the first term: who led has no part in
// what happened.
func forgetTerms(v reflect.Value) {
	switch v.Kind() {
	case reflect.Interface:
		if v.IsNil() {
			return
		}
		body := reflect.New(v.Elem().Type()).Elem()
		body.Set(v.Elem())
		forgetTerms(body)
		v.Set(body)
	case reflect.Struct:
		if epoch, ok := reflect.TypeAssert[*event.Epoch](v.Addr()); ok {
			epoch.Term = 1
			return
		}
		for _, f := range v.Fields() {
			forgetTerms(f)
		}
	case reflect.Slice:
		for i := range v.Len() {
			forgetTerms(v.Index(i))
		}
	}
}

// Finished returns the totals of a run; ok is false if it has not finished.
func Finished(events []event.Event) (totals event.RunFinished, ok bool) {
	for _, ev := range events {
		if totals, ok = ev.Body.(event.RunFinished); ok {
			return totals, true
		}
	}
	return totals, false
}

// Last is the latest experiment time of a run.
func Last(events []event.Event) (last vtime.Time) {
	for _, ev := range facts(events) {
		last = max(last, ev.Time)
	}
	return last
}
