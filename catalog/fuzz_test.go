package catalog

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/vtime"
)

func FuzzYAML(f *testing.F) {
	err := fs.WalkDir(embedded, "data", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			data, _ := fs.ReadFile(embedded, path)
			f.Add(data)
		}
		return err
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte("? {}"))
	f.Add([]byte("a: &a [*a]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, err := parse[modelFile]("f.yaml", data)
		checkFileError(t, err)
		_, err = parse[instanceFile]("f.yaml", data)
		checkFileError(t, err)
		_, err = parse[engineFile]("f.yaml", data)
		checkFileError(t, err)
		_, err = parse[experimentFile]("f.yaml", data)
		checkFileError(t, err)
		_, err = parse[ratesFile]("f.yaml", data)
		checkFileError(t, err)
		profile, err := parse[profileFile]("f.yaml", data)
		if checkFileError(t, err); err == nil {
			checkProfile(t, profile.profile())
		}
		trace, err := parse[traceFile]("f.yaml", data)
		if checkFileError(t, err); err == nil {
			a, _ := trace.availability()
			checkAvailability(t, a)
		}
	})
}

// FuzzResolve: a start resolves to something that can run, or is refused.
func FuzzResolve(f *testing.F) {
	f.Add("e2e", "spotserve", "20B", "As", 0, 0, "", "", 0, 0.0, false)
	f.Add("ondemand", "", "", "", 4, 0, "poisson", "pooled", 2, 30.0, false)
	f.Add("workload", "rerouting", "", "A", 0, 0, "", "idle-only", 1, 30.0, false)
	f.Add("ablation", "", "", "B", 0, 4, "even", "", 0, 0.0, true)
	f.Add("custom", "", "", "", math.MinInt, math.MaxInt, "file", "x", -1, math.NaN(), true)
	f.Fuzz(func(t *testing.T, kind, approach, model, trace string, nodes, level int, arrivals, batching string, depth int, window float64, more bool) {
		start := event.StartExperiment{
			Experiment: experiment.Kind(kind), Approach: approach, Model: model, Trace: trace, Nodes: nodes, Level: level,
			Options: event.StartOptions{
				Arrivals: arrivals, Batching: batching, PoolDepth: depth, RateWindowS: window, MinGPUsWithoutMigrationPlanner: more,
			},
		}
		spec, timeline, err := Resolve(start)
		if _, ok := errors.AsType[*RefusedError](err); err != nil && !ok {
			t.Fatalf("error %v is no refusal", err)
		} else if err != nil {
			return
		}
		if spec.Kind != start.Experiment || spec.Level != level || spec.PoolDepth < 1 || spec.RateWindow < 0 || spec.MigrationBuffer <= 0 ||
			!(spec.Headroom > 0) || !(spec.ArrivalRate > 0) || spec.LargestFleet < len(timeline.Changes[0].Instances)*4 {
			t.Errorf("%+v resolves to %+v", start, spec)
		}
		if text, err := Config(start); err != nil || len(text) == 0 {
			t.Errorf("%+v resolves, but prints %q, %v", start, text, err)
		}
	})
}

// checkFileError requires of an error that it names the file.
func checkFileError(t *testing.T, err error) {
	t.Helper()
	if _, ok := errors.AsType[*FileError](err); err != nil && !ok {
		t.Errorf("error %v names no file", err)
	}
}

func FuzzReadAvailability(f *testing.F) {
	f.Add(smallTrace)
	f.Add(`[0, "add", {"nodes": ["n0"]}]`)
	f.Add(`[-1, "DONE", {}]`)
	f.Fuzz(func(t *testing.T, text string) {
		got, err := ReadAvailability("f", strings.NewReader(text))
		if checkFileError(t, err); err != nil {
			return
		}
		checkAvailability(t, got)
		again, err := ReadAvailability("f", strings.NewReader(availabilityText(got)))
		if err != nil || !reflect.DeepEqual(got, again) {
			t.Errorf("written and read back: %v, error %v, want %v", again, err, got)
		}
	})
}

// availabilityText writes a trace in the artifact's format.
func availabilityText(a Availability) string {
	names := map[experiment.ChangeKind]string{experiment.Add: "add", experiment.Remove: "remove", experiment.Throughput: "other"}
	var b strings.Builder
	for _, c := range a.Changes {
		nodes, _ := json.Marshal(append([]string{}, c.Nodes...))
		required := ""
		if c.RequiredThroughput != 0 {
			required = fmt.Sprintf(`, "required_tpt": %v`, c.RequiredThroughput)
		}
		fmt.Fprintf(&b, "[%d, %q, {\"nodes\": %s%s}]\n", c.At/1e6, names[c.Kind], nodes, required)
	}
	fmt.Fprintf(&b, "[%d, \"DONE\", {\"nodes\": []}]\n", a.End/1e6)
	return b.String()
}

// checkAvailability replays a trace and requires that every change is possible.
func checkAvailability(t *testing.T, a Availability) {
	t.Helper()
	var up []string
	var last vtime.Time
	for _, c := range a.Changes {
		if c.At < last || c.At > a.End {
			t.Errorf("change at %v after %v, end %v", c.At, last, a.End)
		}
		last = c.At
		for _, node := range c.Nodes {
			i := slices.Index(up, node)
			switch {
			case (c.Kind == experiment.Add) != (i < 0) || strings.ContainsAny(node, ". *>") || node == "":
				t.Errorf("%s of %q while %q are up", c.Kind, node, up)
			case i < 0:
				up = append(up, node)
			default:
				up = slices.Delete(up, i, i+1)
			}
		}
	}
	if n := a.size(a.End); n != len(up) {
		t.Errorf("%d nodes are up at the end, size says %d", len(up), n)
	}
}

func FuzzReadAvailabilityCSV(f *testing.F) {
	f.Add("1000,add,a\n1000,add,b\n2500,remove,a\n")
	f.Add("1,add\n")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := ReadAvailabilityCSV("f", strings.NewReader(text))
		if checkFileError(t, err); err == nil {
			checkAvailability(t, got)
		}
	})
}

func FuzzReadArrivals(f *testing.F) {
	f.Add("0,0.7,512,0\n1,1.3,512,2944\n")
	f.Add("0,NaN,512,0")
	f.Add("0,1e308,512,0")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := ReadArrivals("f", strings.NewReader(text))
		if checkFileError(t, err); err != nil {
			return
		}
		var last vtime.Time
		for _, a := range got {
			if a.At < last || a.At > maxTrace || a.PromptTokens < 1 || a.OutputTokens != 0 {
				t.Errorf("bad arrival %+v after %v", a, last)
			}
			last = a.At
		}
	})
}

func FuzzReadProfile(f *testing.F) {
	f.Add(smallProfile)
	f.Add(`{"tp-1": {"bsz-1": {"init": 1, "incr": 1e999}}}`)
	f.Fuzz(func(t *testing.T, text string) {
		got, err := ReadProfile("f", strings.NewReader(text))
		if checkFileError(t, err); err == nil {
			checkProfile(t, got.Profile)
		}
	})
}

// checkProfile requires that every configuration up to MaxTensor has its row.
func checkProfile(t *testing.T, p cost.Profile) {
	t.Helper()
	usable := func(ms float64) bool { return ms > 0 && !math.IsInf(ms, 1) }
	for tensor := 1; tensor <= p.MaxTensor; tensor *= 2 {
		i := slices.IndexFunc(p.Tensors, func(t cost.TensorProfile) bool { return t.Tensor == tensor })
		if i < 0 {
			t.Fatalf("no rows of tensor degree %d of %d", tensor, p.MaxTensor)
		}
		for j, row := range p.Tensors[i].Rows {
			if row.Batch != 1<<j || !usable(row.Prefill) || !usable(row.Decode) || !usable(p.Embed[j]) {
				t.Errorf("bad row %+v", row)
			}
		}
	}
	if p.MaxTensor < 1 || !usable(p.FixFactor) || !usable(p.PrefillComm) || !usable(p.DecodeComm) {
		t.Errorf("bad profile %+v", p)
	}
}

// namesFile finds the key file, and not that of a profile.
var namesFile = regexp.MustCompile(`(^|[^o])file`)

// FuzzReadCustom: a text is refused with its file and lines, or its runs resolve
// to something that can run.
func FuzzReadCustom(f *testing.F) {
	f.Add(smallFile)
	f.Add(smallFile + "sweep: {grace: [0, 30], rate: [1, 2]}\nseeds: 3\n")
	f.Add(strings.Replace(smallFile, "{rate_rps: 0.35}", "{kind: gamma, cv: 3, rates_rps: [1, 2], prompt_tokens: {distribution: lognormal, mean: 9, sigma: 1, max: 99}}", 1))
	f.Add(strings.Replace(smallFile, "{name: As}", "{generate: {kind: bursty, instances: 9, zones: 3, mean_between_bursts_s: 60, share: 0.5, mean_down_s: 60, end_s: 600}}", 1))
	f.Add(strings.Replace(smallFile, "{name: As}", "{end_s: 60, changes: [{at_s: 0, add_spot: [a, b, c]}, {at_s: 9, remove: [b]}]}", 1) + "provision: {mode: closed-loop, max_instances: 3, on_demand: true}\n")
	f.Add("name: x\nmodel: {base: &b llama-2-7b, <<: *b}\ninstance: {base: g5.12xlarge, gpus: 2}\nengine: {}\nprofile: {estimate: roofline}\n")
	f.Add("a: &a [*a]\n? {}\n")
	for _, r := range refusals {
		f.Add(complete(r.rows))
	}
	if text, err := Config(workload("rerouting", "A")); err != nil {
		f.Fatal(err)
	} else {
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		if namesFile.MatchString(text) {
			return // what lies on this machine is no business of a fuzzer
		}
		custom, err := ReadCustom("FILE", []byte(text))
		if err != nil {
			for part := range strings.SplitSeq(err.Error(), "\nFILE") {
				if !strings.HasPrefix(strings.TrimPrefix(part, "FILE"), ":") {
					t.Errorf("the answer %q names no file", part)
				}
			}
			return
		}
		runs := custom.Runs()
		if len(runs) == 0 || custom.Name() == "" {
			t.Fatalf("%d runs of %q", len(runs), custom.Name())
		}
		last := runs[len(runs)-1]
		again, err := ReadCustom("FILE", []byte(last.Start.YAML))
		if err != nil || len(again.Runs()) != 1 || !reflect.DeepEqual(again.Runs()[0].Sweep, last.Sweep) || again.Runs()[0].Seed != last.Seed {
			t.Fatalf("the text of a run does not read back as that run: %v\n%s", err, last.Start.YAML)
		}
		d, root, err := customDocument("FILE", []byte(last.Start.YAML))
		if err != nil {
			t.Fatal(err)
		}
		s := d.settle(builtin(), d.sweep(root)[0].root, newFiles(), event.StartOptions{})
		spec := s.spec()
		if spec.LargestFleet < 1 || spec.PromptTokens < 1 || spec.OutputTokens < 1 || spec.LongestSequence() < 2 || !(spec.RequiredThroughput > 0) ||
			!(spec.ArrivalRate > 0) || !(spec.Headroom > 0) || spec.End <= 0 || spec.Model.KVBytesPerToken < 0 || spec.Model.WeightBytes <= 0 || spec.Seed == 0 {
			t.Errorf("resolves to %+v", spec)
		}
		checkProfile(t, spec.Profile)
		checkAvailability(t, s.trace.fleet)
		if spec.ArrivalRate*spec.End.Seconds() > 1e4 {
			return // enough of them
		}
		printed, err := Config(last.Start)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := ReadCustom("FILE", printed); err != nil || len(back.Runs()) != 1 {
			t.Errorf("what is printed does not read back: %v\n%s", err, printed)
		}
	})
}

func FuzzReadRequestsCSV(f *testing.F) {
	f.Add(smallRequests)
	f.Add(requestsHeader + "\n2023-11-16 18:15:46.6805900,374,44\n")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := ReadRequestsCSV("f", strings.NewReader(text))
		if checkFileError(t, err); err != nil {
			return
		}
		var last vtime.Time
		for _, a := range got {
			if a.At < last || a.At > maxTrace || a.PromptTokens < 1 || a.OutputTokens < 1 {
				t.Errorf("bad request %+v after %v", a, last)
			}
			last = a.At
		}
		if len(got) == 0 || got[0].At != 0 {
			t.Errorf("the requests are %v", got)
		}
	})
}

func FuzzReadPrompts(f *testing.F) {
	f.Add(`{"prompt": "The capital", "max_tokens": 16}`)
	f.Add(`{"tokens": [1, 450]}` + "\n" + `{"prompt": "\ud800"}`)
	f.Add(`{"tokens": [1e99]}`)
	f.Fuzz(func(t *testing.T, text string) {
		list, err := readPrompts("f", strings.NewReader(text))
		if checkFileError(t, err); err != nil {
			return
		}
		for _, p := range list {
			if (p.text == "") == (len(p.tokens) == 0) || p.bound() < 1 || p.maxTokens < 0 || p.maxTokens > maxTokens {
				t.Errorf("%q is read as %+v", text, p)
			}
		}
	})
}

func FuzzReadMeasured(f *testing.F) {
	text, err := measurement().YAML()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(text))
	f.Add("source: x\nprofile: {name: x}\ntransformer: {weights: ''}")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := readMeasured("f", strings.NewReader(text))
		if checkFileError(t, err); err == nil {
			checkProfile(t, m.Profile.profile())
		}
	})
}
