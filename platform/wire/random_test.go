package wire_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/migrate"
)

// choices are the values of the types that have only a few.
var choices = map[reflect.Type][]string{
	reflect.TypeFor[cost.Market]():         {string(cost.Spot), string(cost.OnDemand)},
	reflect.TypeFor[event.EndReason]():     {string(event.EndOfTrace), string(event.Stopped)},
	reflect.TypeFor[migrate.ContextKind](): {string(migrate.ModelContext), string(migrate.CacheContext)},
	reflect.TypeFor[experiment.Kind](): {string(experiment.EndToEnd), string(experiment.OnDemand),
		string(experiment.Workload), string(experiment.Ablation), string(experiment.Custom)},
	reflect.TypeFor[experiment.Quirks]():    {string(experiment.QuirksNone), string(experiment.QuirksArtifact)},
	reflect.TypeFor[experiment.Batching]():  {string(experiment.Pooled), string(experiment.IdleOnly), string(experiment.Continuous)},
	reflect.TypeFor[experiment.Objective](): {string(experiment.MinLatency), string(experiment.MeetSLO), string(experiment.MinCost)},
	reflect.TypeFor[experiment.Compute]():   {string(experiment.Profiled), string(experiment.Transformer)},
	reflect.TypeFor[experiment.Provision](): {string(experiment.Replay), string(experiment.ClosedLoop)},
}

// fill sets every field of v to a random value that is not zero, except that
// half of the bools stay false.
func fill(r *rand.Rand, v reflect.Value) {
	if names, ok := choices[v.Type()]; ok {
		v.SetString(names[r.IntN(len(names))])
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for _, f := range v.Fields() {
			fill(r, f)
		}
	case reflect.Pointer:
		if r.IntN(3) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(r, v.Elem())
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1+r.IntN(3), 3))
		for i := range v.Len() {
			fill(r, v.Index(i))
		}
	case reflect.String:
		v.SetString(fmt.Sprintf("näme-%x", r.Uint32()))
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Int, reflect.Int64:
		v.SetInt(1 + r.Int64()>>r.IntN(63))
	case reflect.Uint64:
		v.SetUint(1 + r.Uint64()>>(1+r.IntN(62)))
	case reflect.Int32:
		v.SetInt(1 + int64(r.Int32()>>r.IntN(31)))
	case reflect.Float32, reflect.Float64:
		v.SetFloat(1/64. + r.ExpFloat64())
	default:
		panic("no random " + v.Type().String())
	}
}

// random returns a body of b's type.
func random(r *rand.Rand, b event.Body) event.Body {
	v := reflect.New(reflect.TypeOf(b)).Elem()
	fill(r, v)
	switch s := v.Addr().Interface().(type) {
	case *event.StartExperiment:
		return ofItsKind(*s)
	case *event.RunStarted:
		s.Schema = 1 + r.IntN(event.SchemaVersion)
	case *event.ExperimentAccepted:
		s.Schema = 1 + r.IntN(event.SchemaVersion)
	case *event.RollCalled:
		s.Schema = 1 + r.IntN(event.SchemaVersion)
	case *event.ServicePresent:
		s.Schema = 1 + r.IntN(event.SchemaVersion)
		if s.Service = "worker"; r.IntN(2) == 0 {
			s.Service, s.Nodes = "planner", nil
		}
		s.Nodes = s.Nodes[:min(1, len(s.Nodes))]
	}
	return v.Interface().(event.Body)
}

// randomEvent returns an event with a random envelope around b.
func randomEvent(r *rand.Rand, b event.Body) event.Event {
	var e event.Event
	v := reflect.ValueOf(&e).Elem()
	for field, f := range v.Fields() {
		if field.Name != "Body" {
			fill(r, f)
		}
	}
	e.Version = event.SchemaVersion
	e.Body = b
	return e
}

// ofItsKind leaves what a start of its kind carries.
func ofItsKind(s event.StartExperiment) event.StartExperiment {
	kept := event.StartExperiment{Experiment: s.Experiment, Options: s.Options}
	switch s.Experiment {
	case experiment.EndToEnd:
		kept.Approach, kept.Model, kept.Trace = s.Approach, s.Model, s.Trace
	case experiment.OnDemand:
		kept.Nodes = s.Nodes
	case experiment.Workload:
		kept.Approach, kept.Trace = s.Approach, s.Trace
	case experiment.Ablation:
		kept.Level, kept.Trace = s.Level, s.Trace
	case experiment.Custom:
		kept.YAML = s.YAML
	}
	return kept
}

// A field that the generator never sets would make the round trips prove
// nothing about it.
func TestGeneratorReachesEveryField(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, b := range append(append([]event.Body{}, runBodies...), controlBodies...) {
		set := map[string]bool{}
		for range 200 {
			markSet(reflect.ValueOf(random(r, b)), string(b.Kind()), set)
		}
		for field, ok := range set {
			if !ok {
				t.Errorf("%s is always zero", field)
			}
		}
	}
}

func markSet(v reflect.Value, at string, set map[string]bool) {
	switch v.Kind() {
	case reflect.Struct:
		for field, f := range v.Fields() {
			markSet(f, at+"."+field.Name, set)
		}
	case reflect.Pointer:
		set[at] = set[at] || !v.IsNil()
		if !v.IsNil() {
			markSet(v.Elem(), at+"*", set)
		}
	case reflect.Slice:
		set[at] = set[at] || v.Len() > 0
		for i := range v.Len() {
			markSet(v.Index(i), at+"[]", set)
		}
	default:
		set[at] = set[at] || !v.IsZero()
	}
}
