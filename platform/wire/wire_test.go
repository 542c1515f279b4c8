package wire_test

import (
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/migrate"
	"github.com/spotserve/spotserve/core/topology"
	"github.com/spotserve/spotserve/core/vtime"
	"github.com/spotserve/spotserve/platform/wire"
	pb "github.com/spotserve/spotserve/proto/spotserve/v1"
)

func TestRoundTripOfEveryBody(t *testing.T) {
	for _, b := range runBodies {
		t.Run(string(b.Kind()), func(t *testing.T) {
			r := rand.New(rand.NewPCG(3, 4))
			for range 100 {
				want := randomEvent(r, random(r, b))
				data, err := wire.Encode(want)
				if err != nil {
					t.Fatal(err)
				}
				got, err := wire.Decode(data)
				if err != nil {
					t.Fatal(err)
				}
				if !reflect.DeepEqual(got, want) {
					t.Fatalf("got  %+v\nwant %+v", got, want)
				}
			}
		})
	}
}

func TestRoundTripOfEdges(t *testing.T) {
	for name, b := range map[string]event.Body{
		"never":          event.RequestUnfinished{Record: event.RequestRecord{Started: vtime.Never, Finished: vtime.Never}},
		"no pipeline":    event.RequestUnfinished{Record: event.RequestRecord{Pipeline: -1}},
		"no config":      event.ConfigChosen{},
		"empty lists":    event.ApplyMigration{},
		"before the run": event.AcquisitionNoticed{ReadyAt: -5},
		"from disk": event.ApplyMigration{Steps: []migrate.Step{{
			Kind: migrate.ModelContext, To: topology.Device{Node: "n1", GPU: 3}, Deadline: vtime.Never,
		}}},
		"largest": event.RequestArrived{Request: math.MaxUint64, PromptTokens: math.MaxInt},
	} {
		t.Run(name, func(t *testing.T) {
			want := event.Event{Run: "e2e-1", Source: "planner", Seq: 1, Watermark: vtime.Never, Version: 1, Body: b}
			data, err := wire.Encode(want)
			if err != nil {
				t.Fatal(err)
			}
			got, err := wire.Decode(data)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

// The bytes of version 1 are in streams already: they must stay readable.
func TestGoldenBytes(t *testing.T) {
	e := event.Event{
		Run: "e2e-1", Source: "node-2", Seq: 7, Time: 24370000000, Watermark: vtime.Never, Seen: 3,
		Cause: event.ID{Source: "planner", Seq: 3}, Version: 1,
		Body: event.TokensCommitted{Epoch: event.Epoch{Term: 1, N: 2}, Pipeline: 1, Batch: 5, Tokens: 32, At: 24000000000},
	}
	const golden = "0a056532652d3112066e6f64652d3218072880e1c2e45a320b0a07706c616e6e65721003380140ffffffffffffffff7f48039a05120a04080110021001180520202880e08bb459"
	data, err := wire.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(data); got != golden {
		t.Errorf("got  %s\nwant %s", got, golden)
	}
}

func TestEncodeStampsTheVersion(t *testing.T) {
	data, err := wire.Encode(event.Event{Run: "e2e-1", Source: "planner", Seq: 1, Body: event.Drain{}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := wire.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	if got.Version != event.SchemaVersion {
		t.Errorf("version %d, want %d", got.Version, event.SchemaVersion)
	}
}

func TestEncodeRefuses(t *testing.T) {
	good := event.Event{Run: "e2e-1", Source: "planner", Seq: 4, Body: event.Drain{}}
	with := func(change func(*event.Event)) event.Event {
		e := good
		change(&e)
		return e
	}
	body := func(b event.Body) event.Event { return with(func(e *event.Event) { e.Body = b }) }
	for _, tt := range []struct {
		name string
		e    event.Event
		want string
	}{
		{"no run", with(func(e *event.Event) { e.Run = "" }), `event planner/4 of run "": run is missing`},
		{"no source", with(func(e *event.Event) { e.Source = "" }), `source is missing`},
		{"no seq", with(func(e *event.Event) { e.Seq = 0 }), `seq is missing: it counts from 1`},
		{"version", with(func(e *event.Event) { e.Version = 9 }), `version is 9: this build writes 1 to 2`},
		{"no body", body(nil), `body is missing`},
		{"control body", body(event.RollCalled{}), `body is a event.RollCalled, which does not travel in a run's events`},
		{"pointer body", body((*event.Drain)(nil)), `body is a *event.Drain, which does not travel`},
		{"bad text", body(event.RequestRefused{Reason: "\xff"}), `invalid UTF-8`},
		{"negative", body(event.RequestArrived{PromptTokens: -3}), `request_arrived.prompt_tokens is -3: must be at least 0`},
		{"bytes", body(event.ContextMigrated{Bytes: -1}), `context_migrated.bytes is -1: must be at least 0`},
		{"infinite", body(event.ThroughputRequired{RequestsPerSecond: math.Inf(1)}), `throughput_required.requests_per_second is +Inf: must be a finite number`},
		{"below -1", body(event.RequestCompleted{Record: event.RequestRecord{Pipeline: -2}}), `request_completed.record.pipeline is -2: must be at least -1`},
		{"in a list", body(event.ApplyMigration{Placements: []topology.Placement{
			{Device: topology.Device{Node: "a"}}, {Device: topology.Device{Node: "b", GPU: -1}},
		}}), `apply_migration.placements[1].device.gpu is -1: must be at least 0`},
		{"market", body(event.InstanceAcquired{Instances: []experiment.Instance{{Node: "a", Market: "spott"}}}),
			`instance_acquired.instances[0].market is "spott": allowed are spot, on-demand`},
		{"reason", body(event.RunEnded{}), `run_ended.reason is "": allowed are trace, stopped`},
		{"empty node", body(event.InstanceLost{Nodes: []string{"a", ""}}), `instance_lost.nodes[1] is empty`},
		{"batch", body(event.BatchStarted{}), `batch_started.batch is missing: it counts from 1`},
		{"embed", body(event.RunStarted{Spec: experiment.Spec{
			Kind: experiment.EndToEnd, Quirks: experiment.QuirksNone, Batching: experiment.Pooled,
			Profile: cost.Profile{Embed: []float64{1, math.NaN()}},
		}}), `run_started.spec.profile.embed_ms[1] is NaN: must be a finite number`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := wire.Encode(tt.e)
			wantError(t, err, tt.want)
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	envelope := func(change func(*pb.Event)) []byte {
		m := &pb.Event{Run: "e2e-1", Source: "node-1", Seq: 4, Version: 1, Body: &pb.Event_Drain{Drain: new(pb.Drain)}}
		change(m)
		data, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	record := func(r *pb.RequestRecord) []byte {
		return envelope(func(m *pb.Event) {
			m.Body = &pb.Event_RequestCompleted{RequestCompleted: &pb.RequestCompleted{Record: r}}
		})
	}
	for _, tt := range []struct {
		name string
		data []byte
		want string
	}{
		{"nothing", nil, `version is missing`},
		{"text", []byte("hello"), `decode 5 bytes as an event: `},
		{"cut off", envelope(func(*pb.Event) {})[:9], `as an event: cannot parse invalid wire-format data`},
		{"two versions ahead", envelope(func(m *pb.Event) { m.Version, m.Body = event.SchemaVersion+2, nil }),
			fmt.Sprintf(`event node-1/4 of run "e2e-1": too new for this build: version is %d: this build reads 1 to %d, so update it`, event.SchemaVersion+2, event.SchemaVersion+1)},
		{"huge version", envelope(func(m *pb.Event) { m.Version = math.MaxUint64 }), `version is 18446744073709551615: this build reads`},
		{"no run", envelope(func(m *pb.Event) { m.Run = "" }), `run is missing`},
		{"no seq", envelope(func(m *pb.Event) { m.Seq = 0 }), `seq is missing`},
		{"no body", envelope(func(m *pb.Event) { m.Body = nil }), `body is missing`},
		{"unknown body", append(envelope(func(m *pb.Event) { m.Body = nil }), 0x82, 0x7d, 0x00), `body is unknown to this build, or missing beside the unknown field 2000`},
		{"no record", record(nil), `request_completed.record is missing`},
		{"no config", record(&pb.RequestRecord{}), `request_completed.record.config is missing`},
		{"negative", record(&pb.RequestRecord{Committed: -7, Config: new(pb.ParallelConfig)}), `request_completed.record.committed is -7: must be at least 0`},
		{"below -1", record(&pb.RequestRecord{Pipeline: -2, Config: new(pb.ParallelConfig)}), `request_completed.record.pipeline is -2: must be at least -1`},
		{"enum missing", envelope(func(m *pb.Event) { m.Body = &pb.Event_RunEnded{RunEnded: new(pb.RunEnded)} }),
			`run_ended.reason is missing: allowed are trace, stopped`},
		{"enum unknown", envelope(func(m *pb.Event) { m.Body = &pb.Event_RunEnded{RunEnded: &pb.RunEnded{Reason: 9}} }),
			`run_ended.reason is number 9, which this build does not know: allowed are trace, stopped`},
		{"target missing", envelope(func(m *pb.Event) {
			m.Body = &pb.Event_ApplyMigration{ApplyMigration: &pb.ApplyMigration{
				Epoch: new(pb.Epoch), Config: new(pb.ParallelConfig), Steps: []*pb.MigrationStep{{Kind: 1}},
			}}
		}), `apply_migration.steps[0].to is missing`},
		{"NaN", envelope(func(m *pb.Event) {
			m.Body = &pb.Event_ThroughputRequired{ThroughputRequired: &pb.ThroughputRequired{RequestsPerSecond: math.NaN()}}
		}), `throughput_required.requests_per_second is NaN: must be a finite number`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := wire.Decode(tt.data)
			wantError(t, err, tt.want)
		})
	}
}

func wantError(t *testing.T, err error, part string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), part) {
		t.Errorf("error %v\nwant  ...%s...", err, part)
	}
}
