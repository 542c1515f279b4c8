package catalog

import (
	"errors"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/vtime"
)

const smallTrace = `[0, "add", {"nodes": ["n0", "n1"]}]
[1000, "other", {"nodes": [], "required_tpt": 0.8}]

[2000, "remove", {"nodes": ["n1"], "required_tpt": 0.6}]
[2000, "add", {"nodes": ["n1"]}]
[3000, "DONE", {"nodes": []}]
`

const smallProfile = `{"name": "small", "layer_num": 10, "embed": [1, 2, 3],
 "final_fix_factor": 1.5, "pp_init_comm": 4, "pp_incr_comm": 0.5,
 "tp-2": {"bsz-2": {"init": 12, "incr": 0.2}, "bsz-1": {"init": 11, "incr": 0.1}, "bsz-4": {"init": 3, "incr": 3}},
 "tp-1": {"bsz-1": {"init": 21, "incr": 0.3}, "bsz-2": {"init": 22, "incr": 0.4}, "bsz-4": {"init": 3, "incr": 3}}
}`

func TestReadAvailability(t *testing.T) {
	got, err := ReadAvailability("t", strings.NewReader(smallTrace))
	if err != nil {
		t.Fatal(err)
	}
	want := Availability{Name: "t", End: vtime.Seconds(3), Changes: []FleetChange{
		{At: 0, Kind: experiment.Add, Nodes: []string{"n0", "n1"}},
		{At: vtime.Seconds(1), Kind: experiment.Throughput, Nodes: []string{}, RequiredThroughput: 0.8},
		{At: vtime.Seconds(2), Kind: experiment.Remove, Nodes: []string{"n1"}, RequiredThroughput: 0.6},
		{At: vtime.Seconds(2), Kind: experiment.Add, Nodes: []string{"n1"}},
	}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestReadAvailabilityRefuses(t *testing.T) {
	const add, done = `[0, "add", {"nodes": ["n0"]}]` + "\n", "\n" + `[9000, "DONE", {"nodes": []}]`
	tests := []struct{ name, text, want string }{
		{"empty file", "", "t: the file is empty"},
		{"blank file", "\n \n", "t: the file is empty"},
		{"missing DONE", add, "t: DONE is missing"},
		{"event after DONE", add + done + "\n" + `[9000, "add", {"nodes": ["n1"]}]`, "t:4: an event follows DONE"},
		{"DONE with nodes", add + `[9000, "DONE", {"nodes": ["n0"]}]`, "t:2: DONE has neither nodes"},
		{"DONE at the start", add + `[0, "DONE", {"nodes": []}]`, "t:2: the trace ends at its start"},
		{"DONE before the last event", `[5000, "add", {"nodes": ["n0"]}]` + "\n" + `[4000, "DONE", {"nodes": []}]`, "t:2: end of the trace: time runs backwards: 4.000s after 5.000s"},
		{"no node", `[9000, "DONE", {"nodes": []}]`, "t:1: no node joins before the trace ends"},
		{"garbage", add + "hello", "t:2: the line is not [milliseconds, verb, {nodes}]: invalid character"},
		{"trailing garbage", add + `[1, "add", {"nodes": ["n1"]}] x`, "t:2: the line is not"},
		{"null line", "null", "t:1: the line is not [milliseconds, verb, {nodes}]: it is null"},
		{"object line", "{}", "t:1: the line is not [milliseconds, verb, {nodes}]: it is a object"},
		{"two values", `[0, "add"]`, "t:1: the line is not"},
		{"four values", `[0, "add", {"nodes": ["n0"]}, 1]`, "t:1: the line is not"},
		{"time a string", `["0", "add", {"nodes": ["n0"]}]`, "t:1: the time is not whole milliseconds: it is a string"},
		{"time a fraction", `[0.5, "add", {"nodes": ["n0"]}]`, "t:1: the time is not whole milliseconds: it is a number 0.5"},
		{"time null", `[null, "add", {"nodes": ["n0"]}]`, "t:1: the time is not whole milliseconds: it is null"},
		{"negative time", `[-1, "add", {"nodes": ["n0"]}]`, "t:1: time is -1 ms, allowed is 0 to"},
		{"time too late", add + `[9223372036854775807, "DONE", {"nodes": []}]`, "t:2: time is 9223372036854775807 ms"},
		{"time running backwards", add + `[2000, "add", {"nodes": ["n1"]}]` + "\n" + `[1999, "add", {"nodes": ["n2"]}]`, "t:3: time runs backwards: 1.999s after 2.000s"},
		{"verb a number", `[0, 1, {"nodes": ["n0"]}]`, "t:1: the verb is not a string: it is a number"},
		{"unknown verb", `[0, "ad", {"nodes": ["n0"]}]`, `t:1: unknown verb "ad": allowed are add, remove, other, DONE; did you mean add?`},
		{"case of a verb", `[0, "done", {"nodes": []}]`, `t:1: unknown verb "done": allowed are add, remove, other, DONE; did you mean DONE?`},
		{"details a list", `[0, "add", ["n0"]]`, "t:1: the third value is not {nodes}: it is not an object"},
		{"no nodes key", `[0, "add", {}]`, "t:1: nodes is missing"},
		{"unknown key", `[0, "add", {"node": ["n0"]}]`, `t:1: unknown key "node", did you mean "nodes"?`},
		{"case of a key", `[0, "add", {"Nodes": ["n0"]}]`, `t:1: unknown key "Nodes", did you mean "nodes"?`},
		{"key twice", `[0, "add", {"nodes": ["n0"], "nodes": ["n1"]}]`, `t:1: the third value is not {nodes}: key "nodes" occurs twice`},
		{"nodes a string", `[0, "add", {"nodes": "n0"}]`, "t:1: nodes is not a list of names: it is a string"},
		{"nodes of numbers", `[0, "add", {"nodes": [1]}]`, "t:1: nodes is not a list of names: it is a number"},
		{"nodes null", `[0, "add", {"nodes": null}]`, "t:1: nodes is not a list of names: it is null"},
		{"node null", `[0, "add", {"nodes": [null]}]`, `t:1: node name ""`},
		{"add of none", `[0, "add", {"nodes": []}]`, "t:1: add has no nodes"},
		{"remove of none", add + `[1, "remove", {"nodes": []}]`, "t:2: remove has no nodes"},
		{"duplicate add", add + `[1, "add", {"nodes": ["n0"]}]`, `t:2: node "n0" is added, but it is up already`},
		{"duplicate node in a line", `[0, "add", {"nodes": ["n0", "n0"]}]`, `t:1: node "n0" is named twice`},
		{"duplicate removal in a line", add + `[1, "remove", {"nodes": ["n0", "n0"]}]`, `t:2: node "n0" is named twice`},
		{"unknown removal", add + `[1, "remove", {"nodes": ["n1"]}]`, `t:2: node "n1" is removed, but it is not up`},
		{"second removal", add + `[1, "remove", {"nodes": ["n0"]}]` + "\n" + `[2, "remove", {"nodes": ["n0"]}]`, `t:3: node "n0" is removed, but it is not up`},
		{"node name with a dot", `[0, "add", {"nodes": ["a.b"]}]`, `t:1: node name "a.b"`},
		{"node name of a wildcard", `[0, "add", {"nodes": ["*"]}]`, `t:1: node name "*"`},
		{"node name too long", `[0, "add", {"nodes": ["` + strings.Repeat("n", 64) + `"]}]`, "t:1: node name"},
		{"other with nodes", add + `[1, "other", {"nodes": ["n0"], "required_tpt": 1}]`, "t:2: a change of the required throughput has no nodes"},
		{"other of nothing", add + `[1, "other", {"nodes": []}]`, "t:2: the change changes nothing"},
		{"throughput a string", add + `[1, "other", {"nodes": [], "required_tpt": "1"}]`, "t:2: required_tpt is not a number: it is a string"},
		{"throughput zero", add + `[1, "other", {"nodes": [], "required_tpt": 0}]`, "t:2: required_tpt is 0"},
		{"throughput negative", add + `[1, "other", {"nodes": [], "required_tpt": -1}]`, "t:2: required throughput is -1"},
		{"throughput beyond all", add + `[1, "other", {"nodes": [], "required_tpt": 1e300}]`, "t:2: required throughput is 1e+300"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ReadAvailability("t", strings.NewReader(tt.text))
			wantFileError(t, err, tt.want)
			if got.Changes != nil {
				t.Error("a refused trace has changes")
			}
		})
	}
}

func wantFileError(t *testing.T, err error, want string) {
	t.Helper()
	if _, ok := errors.AsType[*FileError](err); !ok {
		t.Fatalf("got error %v, want a FileError", err)
	}
	if !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got  %s\nwant %s...", err, want)
	}
}

func TestReadersRefuseEndlessLinesAndPassReadErrorsOn(t *testing.T) {
	broken := errors.New("the disk is gone")
	endless := func() io.Reader { return io.LimitReader(zeros{}, 2*maxLine) }
	readers := map[string]func(io.Reader) error{
		"availability": func(r io.Reader) error { _, err := ReadAvailability("f", r); return err },
		"csv":          func(r io.Reader) error { _, err := ReadAvailabilityCSV("f", r); return err },
		"arrivals":     func(r io.Reader) error { _, err := ReadArrivals("f", r); return err },
		"profile":      func(r io.Reader) error { _, err := ReadProfile("f", r); return err },
	}
	for name, read := range readers {
		if err := read(endless()); err == nil || !strings.Contains(err.Error(), "longer than") {
			t.Errorf("%s: an endless line gave %v", name, err)
		}
		if err := read(iotest.ErrReader(broken)); !errors.Is(err, broken) || !strings.HasPrefix(err.Error(), "f: ") {
			t.Errorf("%s: a broken reader gave %v", name, err)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '0'
	}
	return len(p), nil
}

func TestReadAvailabilityCSV(t *testing.T) {
	got, err := ReadAvailabilityCSV("t", strings.NewReader("1000,add,a\r\n1000,add,b\n1000,remove,a\n2500,add,a\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := Availability{Name: "t", End: vtime.Seconds(2.5), Changes: []FleetChange{
		{At: vtime.Seconds(1), Kind: experiment.Add, Nodes: []string{"a", "b"}},
		{At: vtime.Seconds(1), Kind: experiment.Remove, Nodes: []string{"a"}},
		{At: vtime.Seconds(2.5), Kind: experiment.Add, Nodes: []string{"a"}},
	}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestReadAvailabilityCSVRefuses(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"empty file", "", "t: the file is empty"},
		{"header", "ms,verb,node\n", `t:1: the time "ms" is not whole milliseconds`},
		{"columns", "0,add\n", "t:1: the row has 2 columns"},
		{"fraction", "0.5,add,a\n", `t:1: the time "0.5" is not`},
		{"negative time", "-5,add,a\n", "t:1: time is -5 ms"},
		{"time running backwards", "5,add,a\n4,add,b\n", "t:2: time runs backwards"},
		{"unknown verb", "5,drop,a\n", `t:1: unknown verb "drop": allowed are add, remove`},
		{"verb of the other format", "5,DONE,a\n", `t:1: unknown verb "DONE": allowed are add, remove`},
		{"duplicate add", "5,add,a\n5,add,a\n", `t:2: node "a" is added, but it is up already`},
		{"unknown removal", "5,remove,a\n", `t:1: node "a" is removed, but it is not up`},
		{"node name", "5,add,a b\n", `t:1: node name "a b"`},
		{"ends at the start", "0,add,a\n", "t: the trace ends at its start"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ReadAvailabilityCSV("t", strings.NewReader(tt.text))
			wantFileError(t, err, tt.want)
		})
	}
}

func TestReadArrivals(t *testing.T) {
	got, err := ReadArrivals("t", strings.NewReader("0,0.5,512,0\n1,0.5,8,x\n\n7,2.25,1,-3\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []experiment.Arrival{
		{At: vtime.Seconds(0.5), PromptTokens: 512},
		{At: vtime.Seconds(0.5), PromptTokens: 8},
		{At: vtime.Seconds(2.25), PromptTokens: 1},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestReadArrivalsRefuses(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"empty file", "", "t: the file is empty"},
		{"three columns", "0,1,512", "t:1: the line has 3 columns, want id,seconds,prompt_tokens,offset"},
		{"five columns", "0,1,512,0,0", "t:1: the line has 5 columns"},
		{"id", "a,1,512,0", `t:1: the id "a" is not a whole number`},
		{"negative id", "-1,1,512,0", `t:1: the id "-1" is not a whole number`},
		{"time", "0,x,512,0", `t:1: the time "x" is not a number`},
		{"time not a number", "0,NaN,512,0", "t:1: time is NaN s, allowed is 0 to"},
		{"infinite time", "0,inf,512,0", "t:1: time is +Inf s"},
		{"negative time", "0,-0.1,512,0", "t:1: time is -0.1 s"},
		{"late time", "0,1e9,512,0", "t:1: time is 1e+09 s"},
		{"time running backwards", "0,2,512,0\n1,1.5,512,0", "t:2: time runs backwards: 1.500s after 2.000s"},
		{"no tokens", "0,1,0,0", `t:1: the prompt's tokens are "0"`},
		{"negative tokens", "0,1,-512,0", `t:1: the prompt's tokens are "-512"`},
		{"broken tokens", "0,1,5.5,0", `t:1: the prompt's tokens are "5.5"`},
		{"tokens beyond all", "0,1,99999999,0", `t:1: the prompt's tokens are "99999999"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ReadArrivals("t", strings.NewReader(tt.text))
			wantFileError(t, err, tt.want)
		})
	}
}

func TestReadProfile(t *testing.T) {
	got, err := ReadProfile("t", strings.NewReader(smallProfile))
	if err != nil {
		t.Fatal(err)
	}
	want := MeasuredProfile{
		Profile: cost.Profile{
			Name: "small", PromptTokens: 512, FixFactor: 1.5, PrefillComm: 4, DecodeComm: 0.5, Embed: []float64{1, 2, 3}, MaxTensor: 2,
			Tensors: []cost.TensorProfile{
				{Tensor: 1, Rows: []cost.PhaseLatency{{Batch: 1, Prefill: 21, Decode: 0.3}, {Batch: 2, Prefill: 22, Decode: 0.4}, {Batch: 4, Prefill: 3, Decode: 3}}},
				{Tensor: 2, Rows: []cost.PhaseLatency{{Batch: 1, Prefill: 11, Decode: 0.1}, {Batch: 2, Prefill: 12, Decode: 0.2}, {Batch: 4, Prefill: 3, Decode: 3}}},
			},
		},
		Layers: 10, PaddedLayers: 10,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	stated := strings.Replace(smallProfile, `"layer_num": 10`, `"layer_num": 10, "padded_layer_num": 12, "hidden_size": 64, "max_tp": 1`, 1)
	got, err = ReadProfile("t", strings.NewReader(stated))
	if err != nil || got.PaddedLayers != 12 || got.Hidden != 64 || got.MaxTensor != 1 {
		t.Errorf("got padded layers %d, hidden %d, max tensor %d, error %v", got.PaddedLayers, got.Hidden, got.MaxTensor, err)
	}
}

func TestReadProfileRefuses(t *testing.T) {
	tests := []struct{ name, old, new, want string }{
		{"garbage", smallProfile, "x", "t:1: invalid character"},
		{"a list", smallProfile, "[]", "t:1: it is not an object"},
		{"empty file", smallProfile, " \n", "t: the file is empty"},
		{"cut short", ` "tp-1": `, "", "t:4: "},
		{"something behind", "\n}", "\n} {}", "t:1: something follows the object"},
		{"unknown key", `"layer_num"`, `"layers_num"`, `t:1: layer_num is missing`},
		{"unknown extra key", `"layer_num"`, `"hidden": 3, "layer_num"`, `t:1: unknown key "hidden", did you mean "hidden_size"?`},
		{"no name", `"name": "small", `, "", "t:1: name is missing"},
		{"name empty", `"small"`, `""`, "t: name is missing"},
		{"name a number", `"small"`, "1", "t:1: name: it is a number"},
		{"layers zero", `"layer_num": 10`, `"layer_num": 0`, "t:1: layer_num: it is 0, it must be positive"},
		{"layers a fraction", `"layer_num": 10`, `"layer_num": 1.5`, "t:1: layer_num: it is a number 1.5"},
		{"layers beyond all", `"layer_num": 10`, `"layer_num": 1000000`, "t: layers is 1000000"},
		{"padded below layers", `"layer_num": 10`, `"layer_num": 10, "padded_layer_num": 9`, "t: padded_layers is 9"},
		{"max_tp zero", `"layer_num": 10`, `"layer_num": 10, "max_tp": 0`, "t:1: max_tp: it is 0"},
		{"max_tp without rows", `"layer_num": 10`, `"layer_num": 10, "max_tp": 4`, "t: max_tensor is 4"},
		{"no factor", `"final_fix_factor": 1.5, `, "", "t:1: final_fix_factor is missing"},
		{"factor negative", `1.5`, `-1.5`, "t:2: final_fix_factor: it is -1.5, it must be positive"},
		{"factor null", `1.5`, `null`, "t:2: final_fix_factor: it is null"},
		{"no embed", `"embed": [1, 2, 3],`, "", "t:1: embed is missing"},
		{"embed short", `[1, 2, 3]`, `[1, 2]`, "t: embed has 2 values for the 3 batches"},
		{"embed negative", `[1, 2, 3]`, `[1, -2, 3]`, "t: embed_ms[1] is -2"},
		{"missing degree", `"tp-1"`, `"tp-4"`, "t: tensor degree 2 stands where the rows of tensor degree 1 belong"},
		{"odd degree", `"tp-1"`, `"tp-one"`, `t:4: unknown key "tp-one", want tp-N`},
		{"degree with a zero", `"tp-1"`, `"tp-01"`, `t:4: unknown key "tp-01", want tp-N`},
		{"degree twice", `"tp-1"`, `"tp-2"`, `t:1: key "tp-2" occurs twice`},
		{"missing batch", `"bsz-2": {"init": 22, "incr": 0.4}, `, "", "t: tensor degree 1: batch 4 stands where batch 2 belongs"},
		{"other batch", `"bsz-2": {"init": 22`, `"bsz-3": {"init": 22`, "t: tensor degree 1: batch 3 stands where batch 2 belongs"},
		{"odd batch", `"bsz-2": {"init": 22`, `"b-2": {"init": 22`, `t:4: unknown key "b-2", want bsz-N`},
		{"no init", `"init": 22, `, "", "t:4: init is missing"},
		{"unknown phase", `"init": 22`, `"init": 22, "inc": 1`, `t:4: unknown key "inc", did you mean "incr"?`},
		{"init zero", `"init": 22`, `"init": 0`, "t:4: init: it is 0, it must be positive"},
		{"init a string", `"init": 22`, `"init": "22"`, "t:4: init: it is a string"},
		{"init beyond all", `"init": 22`, `"init": 1e300`, "t: tensor degree 1, batch 2: prefill is 1e+300"},
		{"row a number", `{"init": 22, "incr": 0.4}`, `22`, "t:4: it is not an object"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if !strings.Contains(smallProfile, tt.old) {
				t.Fatalf("the profile has no %q to replace", tt.old)
			}
			_, err := ReadProfile("t", strings.NewReader(strings.Replace(smallProfile, tt.old, tt.new, 1)))
			wantFileError(t, err, tt.want)
		})
	}
}
