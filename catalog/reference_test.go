package catalog

import (
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
)

// reference returns the folder of the artifact's own files.
func reference(t *testing.T) string {
	t.Helper()
	folder := os.Getenv("SPOTSERVE_REFERENCE")
	if folder == "" {
		t.Skip("SKIPPED: set SPOTSERVE_REFERENCE to the folder of the artifact's files to compare the catalogue with them")
	}
	return folder
}

func readReference[T any](t *testing.T, path string, read func(string, io.Reader) (T, error)) T {
	t.Helper()
	got, err := readFile(path, read)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestTracesEqualTheReference(t *testing.T) {
	folder := filepath.Join(reference(t), "availability")
	files := map[string]string{
		"As": "trace_0304_real.txt", "Bs": "trace_0506_real.txt",
		"As+o": "trace_0304_ondemand.txt", "Bs+o": "trace_0506_ondemand.txt",
		"A": "trace_0304_workload.txt", "B": "trace_0506_workload.txt",
		"on-demand-4": "trace_0506_node4.txt", "on-demand-6": "trace_0506_node6.txt", "on-demand-8": "trace_0506_node8.txt",
	}
	compare := func(name string, want Availability) {
		got, err := builtin().traces[name].availability()
		if err != nil {
			t.Fatal(err)
		}
		for i := range want.Changes {
			if len(want.Changes[i].Nodes) == 0 {
				want.Changes[i].Nodes = nil
			}
		}
		want.Name = name
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got  %+v\nwant %+v", name, got, want)
		}
	}
	for name, file := range files {
		compare(name, readReference(t, filepath.Join(folder, file), ReadAvailability))
	}

	// The artifact's file lists a fourth node by mistake.
	three := readReference(t, filepath.Join(folder, "trace_0506_node3.txt"), ReadAvailability)
	three.Changes[0].Nodes = three.Changes[0].Nodes[:3]
	compare("on-demand-3", three)

	// The CSV has no end of its own: the trace is 12 hours long.
	long := readReference(t, filepath.Join(folder, "g4dn_12h.csv"), ReadAvailabilityCSV)
	long.End = 12 * 3600 * 1e9
	compare("g4dn-12h", long)

	if got, want := len(builtin().traces), len(files)+2; got != want {
		t.Errorf("%d of the catalogue's %d traces are compared", want, got)
	}
}

func TestProfilesEqualTheReference(t *testing.T) {
	folder := filepath.Join(reference(t), "profiles")
	files := map[string]string{
		"T4-6.7B": "T4-4x/megatron_6.7B_profile.json", "T4-20B": "T4-4x/megatron_h6144_profile.json", "T4-30B": "T4-4x/megatron_h7168_profile.json",
		"V100-345M": "V100-4x/345M.json", "V100-6.7B": "V100-4x/6.7B.json", "V100-20B": "V100-4x/20B.json",
	}
	for name, file := range files {
		want := readReference(t, filepath.Join(folder, file), ReadProfile)
		p := builtin().profiles[name]
		want.Name, want.GPU = p.Name, p.GPU
		got := MeasuredProfile{Profile: p.profile(), Layers: p.Layers, PaddedLayers: p.PaddedLayers, Hidden: p.Hidden}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got  %+v\nwant %+v", name, got, want)
		}
	}
	if got, want := len(builtin().profiles), len(files); got != want {
		t.Errorf("%d of the catalogue's %d profiles are compared", want, got)
	}
}

func TestReferenceFilesGiveTheCataloguesExperiment(t *testing.T) {
	folder := reference(t)
	own := e2e("20B", "As+o", event.StartOptions{})
	files := e2e("20B", "As+o", event.StartOptions{
		AvailabilityFile: filepath.Join(folder, "availability", "trace_0304_ondemand.txt"),
		ProfileFile:      filepath.Join(folder, "profiles", "T4-4x", "megatron_h6144_profile.json"),
	})
	ownSpec, ownTimeline := mustResolve(t, own)
	spec, timeline := mustResolve(t, files)
	spec.Trace, spec.Profile.Name = ownSpec.Trace, ownSpec.Profile.Name
	if !reflect.DeepEqual(spec, ownSpec) || !reflect.DeepEqual(timeline, ownTimeline) {
		t.Error("the artifact's files and the catalogue give different experiments")
	}
}

func TestReferenceArrivalsAreRead(t *testing.T) {
	folder := filepath.Join(reference(t), "arrivals")
	tests := []struct {
		file     string
		model    string
		requests int // of the file
	}{
		{"query6144_tpt1.5_cv6.txt", "6.7B", 6144},
		{"query_tpt0.35_cv6.txt", "20B", 1024},
		{"query_tpt0.2_cv6.txt", "30B", 1024},
		{"query_realAr_cv6.txt", "20B", 681},
	}
	for _, tt := range tests {
		path := filepath.Join(folder, tt.file)
		all := readReference(t, path, ReadArrivals)
		if len(all) != tt.requests {
			t.Errorf("%s: read %d requests, want %d", tt.file, len(all), tt.requests)
		}
		spec, timeline := mustResolve(t, e2e(tt.model, "As", event.StartOptions{ArrivalsFile: path}))
		n := 0
		for _, a := range all {
			if a.At < spec.End {
				n++
			}
		}
		want := experiment.Arrival{At: all[0].At, PromptTokens: 512, OutputTokens: 128}
		if len(timeline.Arrivals) != n || timeline.Arrivals[0] != want {
			t.Errorf("%s: %d requests begin with %+v, want %d and %+v", tt.file, len(timeline.Arrivals), timeline.Arrivals[0], n, want)
		}
	}
}

func TestRatesEqualTheReference(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(reference(t), "arrivals", "arrival-rates.csv"))
	if err != nil {
		t.Fatal(err)
	}
	var want []float64
	for column := range strings.SplitSeq(strings.TrimSpace(string(data)), ",") {
		rate, err := strconv.ParseFloat(column, 64)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, rate)
	}
	if got := builtin().rates["maf"].RatesRPS; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestReferenceArrivalsHaveTheRatesOfTheCatalogue: the arrivals of the published
// workload were drawn from the same rates by the same rule.
func TestReferenceArrivalsHaveTheRatesOfTheCatalogue(t *testing.T) {
	start := workload("spotserve", "A")
	start.Options.ArrivalsFile = filepath.Join(reference(t), "arrivals", "query_realAr_cv6.txt")
	_, timeline := mustResolve(t, start)
	checkMinutes(t, timeline.Arrivals, builtin().rates["maf"].RatesRPS)
	start.Options.ArrivalsFile = ""
	_, drawn := mustResolve(t, start)
	if got, want := len(drawn.Arrivals), len(timeline.Arrivals); got < want-10 || got > want+10 {
		t.Errorf("%d requests are drawn, the artifact has %d", got, want)
	}
}

func TestReferenceFilesGiveTheCataloguesWorkload(t *testing.T) {
	folder := filepath.Join(reference(t), "availability")
	for trace, file := range map[string]string{"A": "trace_0304_workload.txt", "B": "trace_0506_workload.txt"} {
		start := workload("rerouting", trace)
		want, wantTimeline := mustResolve(t, start)
		start.Options.AvailabilityFile = filepath.Join(folder, file)
		spec, timeline := mustResolve(t, start)
		spec.Trace = want.Trace
		if !reflect.DeepEqual(spec, want) || !reflect.DeepEqual(timeline, wantTimeline) {
			t.Errorf("%s: the artifact's file and the catalogue give different experiments", trace)
		}
	}
}
