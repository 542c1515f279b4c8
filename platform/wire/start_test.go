package wire_test

import (
	"math"
	"reflect"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/platform/wire"
	pb "github.com/spotserve/spotserve/proto/spotserve/v1"
)

func TestDecodeStart(t *testing.T) {
	for in, want := range map[string]event.StartExperiment{
		`{"e2e":{"approach":"spotserve","model":"20B","trace":"As"}}`: {
			Experiment: experiment.EndToEnd, Approach: "spotserve", Model: "20B", Trace: "As",
		},
		"\n  {\"e2e\": {\"approach\": \"spotserve\", \"model\": \"20B\", \"trace\": \"Bs\"}}\n": {
			Experiment: experiment.EndToEnd, Approach: "spotserve", Model: "20B", Trace: "Bs",
		},
		`{"ondemand":{"nodes":3}}`:   {Experiment: experiment.OnDemand, Nodes: 3},
		`{"ondemand":{"nodes":"3"}}`: {Experiment: experiment.OnDemand, Nodes: 3},
		`{"workload":{"approach":"rerouting","trace":"A"}}`: {
			Experiment: experiment.Workload, Approach: "rerouting", Trace: "A",
		},
		`{"ablation":{"level":0,"trace":"A"}}`: {Experiment: experiment.Ablation, Trace: "A"},
		`{"ablation":{"level":4,"trace":"B"}}`: {Experiment: experiment.Ablation, Level: 4, Trace: "B"},
		`{"custom":{"yaml":"kind: e2e\n"}}`:    {Experiment: experiment.Custom, YAML: "kind: e2e\n"},
		`{"e2e":null,"ondemand":{"nodes":8},"options":{"seed":18446744073709551615,"time_scale":0.5,"arrivals":"gamma",
			"quirks":"artifact","name":"mine","drain":true,"availability_file":"a","arrivals_file":"b","profile_file":"c",
			"batching":"idle-only","pool_depth":2,"rate_window_s":30,"min_gpus_without_migration_planner":true}}`: {
			Experiment: experiment.OnDemand, Nodes: 8,
			Options: event.StartOptions{
				Seed: math.MaxUint64, TimeScale: 0.5, Arrivals: "gamma", Quirks: "artifact", Name: "mine", Drain: true,
				AvailabilityFile: "a", ArrivalsFile: "b", ProfileFile: "c",
				Batching: "idle-only", PoolDepth: 2, RateWindowS: 30, MinGPUsWithoutMigrationPlanner: true,
			},
		},
		`{"ondemand":{"nodes":8},"options":{"timeScale":240,"profileFile":"c"}}`: {
			Experiment: experiment.OnDemand, Nodes: 8, Options: event.StartOptions{TimeScale: 240, ProfileFile: "c"},
		},
		"\x12\x13\x0a\x09spotserve\x12\x0220\x1a\x02As": {
			Experiment: experiment.EndToEnd, Approach: "spotserve", Model: "20", Trace: "As",
		},
	} {
		got, err := wire.DecodeStart([]byte(in))
		if err != nil {
			t.Errorf("%s\n%v", in, err)
		} else if !reflect.DeepEqual(got, want) {
			t.Errorf("%s\ngot  %+v\nwant %+v", in, got, want)
		}
	}
}

func TestDecodeStartRefusesJSON(t *testing.T) {
	const example = `; for example {"e2e":{"approach":"spotserve","model":"20B","trace":"As"}}`
	for in, want := range map[string]string{
		``:                     `start: the message is empty` + example,
		"  \n":                 `start: the message is empty` + example,
		`{}`:                   `start: the experiment is missing: give exactly one of e2e, ondemand, workload, ablation, custom` + example,
		`{"options":{}}`:       `start: the experiment is missing: give exactly one of e2e, ondemand, workload, ablation, custom` + example,
		`{"e2e":null}`:         `start: the experiment is missing: `,
		`{'e2e':{}}`:           `start: not valid JSON at byte 2: invalid character '\''`,
		`{"e2e":{}} x`:         `start: not valid JSON at byte 12: invalid character 'x'`,
		`{"e2e":`:              `start: not valid JSON at byte 7: unexpected end of JSON input`,
		`{"e2f":{}}`:           `start: unknown key "e2f" (did you mean "e2e"?): allowed are e2e, ondemand, workload, ablation, custom, options` + example,
		`{"OnDemand":{}}`:      `start: unknown key "OnDemand" (did you mean "ondemand"?): allowed are`,
		`{"zzz":{}}`:           `start: unknown key "zzz": allowed are e2e, ondemand, workload, ablation, custom, options` + example,
		`{"e2e":{"modeel":1}}`: `start: unknown key "modeel" in e2e (did you mean "model"?): allowed are approach, model, trace` + example,
		`{"e2e":{"approach":"a","model":"m","trace":"t"},"options":{"timescale":60}}`: `start: unknown key "timescale" in options (did you mean "time_scale"?): ` +
			`allowed are seed, time_scale, arrivals, quirks, name, drain, availability_file, arrivals_file, profile_file, ` +
			`batching, pool_depth, rate_window_s, min_gpus_without_migration_planner` + example,
		`{"e2e":{},"ondemand":{"nodes":3}}`:                       `start: e2e and ondemand are both given: give exactly one of e2e, ondemand, workload, ablation, custom` + example,
		`{"e2e":{"approach":"a","trace":"t"}}`:                    `start: e2e.model is missing` + example,
		`{"e2e":{"approach":"a","model":20,"trace":"t"}}`:         `start: e2e.model is the number 20: must be a text in double quotes` + example,
		`{"e2e":"spotserve"}`:                                     `start: e2e is the text "spotserve": must be an object with approach, model, trace` + example,
		`{"e2e":["spotserve","20B","As"]}`:                        `start: e2e is a list: must be an object with approach, model, trace` + example,
		`{"e2e":{"approach":{},"model":"m","trace":"t"}}`:         `start: e2e.approach is an object: must be a text in double quotes` + example,
		`{"ondemand":{}}`:                                         `start: ondemand.nodes is 0: must be at least 1` + example,
		`{"ondemand":{"nodes":-3}}`:                               `start: ondemand.nodes is -3: must be at least 1` + example,
		`{"ondemand":{"nodes":3.5}}`:                              `start: ondemand.nodes is the number 3.5: must be a whole number` + example,
		`{"ondemand":{"nodes":9223372036854775808}}`:              `start: ondemand.nodes is the number 9223372036854775808: must be a whole number` + example,
		`{"ondemand":{"nodes":"three"}}`:                          `start: ondemand.nodes is the text "three": must be a whole number` + example,
		`{"ablation":{"trace":"A"}}`:                              `start: ablation.level is missing` + example,
		`{"custom":{}}`:                                           `start: custom.yaml is missing` + example,
		`{"ondemand":{"nodes":3},"options":{"seed":-1}}`:          `start: options.seed is the number -1: must be a whole number of at least 0` + example,
		`{"ondemand":{"nodes":3},"options":{"time_scale":-1}}`:    `start: options.time_scale is -1: must be at least 0` + example,
		`{"ondemand":{"nodes":3},"options":{"pool_depth":-1}}`:    `start: options.pool_depth is -1: must be at least 0` + example,
		`{"ondemand":{"nodes":3},"options":{"rate_window_s":-1}}`: `start: options.rate_window_s is -1: must be at least 0` + example,
		`{"ondemand":{"nodes":3},"options":{"time_scale":"NaN"}}`: `start: options.time_scale is the text "NaN": must be a finite number` + example,
		`{"ondemand":{"nodes":3},"options":{"time_scale":1e999}}`: `start: options.time_scale is the number 1e999: must be a finite number` + example,
		`{"ondemand":{"nodes":3},"options":{"drain":"yes"}}`:      `start: options.drain is the text "yes": must be true or false` + example,
		`{"ondemand":{"nodes":3},"ondemand":{"nodes":4}}`:         `duplicate field "ondemand"`,
		`spotserve 20B As`:                                        `start: the message does not start with { as JSON does, and as protobuf: `,
	} {
		_, err := wire.DecodeStart([]byte(in))
		if err == nil {
			t.Errorf("%s\nwas accepted", in)
			continue
		}
		wantError(t, err, want)
	}
}

func TestDecodeStartRefusesProtobuf(t *testing.T) {
	e2e := &pb.EndToEndStart{Approach: "a", Model: "m", Trace: "t"}
	newer := &pb.EndToEndStart{Approach: "a", Model: "m", Trace: "t"}
	newer.ProtoReflect().SetUnknown([]byte{0x60, 0x01})
	for want, m := range map[string]*pb.StartExperiment{
		`the experiment is missing`:                                       {Options: new(pb.StartOptions)},
		`ablation.level is missing`:                                       {Kind: &pb.StartExperiment_Ablation{Ablation: &pb.AblationStart{Trace: "A"}}},
		`options.time_scale is NaN`:                                       {Kind: &pb.StartExperiment_E2E{E2E: e2e}, Options: &pb.StartOptions{TimeScale: math.NaN()}},
		`field 12 of spotserve.v1.EndToEndStart is unknown to this build`: {Kind: &pb.StartExperiment_E2E{E2E: newer}},
	} {
		data, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		_, err = wire.DecodeStart(data)
		wantError(t, err, want)
	}
}
