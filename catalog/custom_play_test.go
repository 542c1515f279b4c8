package catalog

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
)

// TestCustomExperimentsRun: every feature of the files, under the checks of the
// promises that each simulated run makes. Something is served in all of them.
func TestCustomExperimentsRun(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "a.csv"), []byte(requestsText(5000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"poisson fleet": `
model: 20B
instance: g4dn.12xlarge
trace: {generate: {kind: poisson, instances: 12, mean_up_s: 900, mean_down_s: 120, end_s: 3600}}
arrivals: {rate_rps: 0.3}
sweep: {grace: [0, 30], approach: [spotserve, rerouting, reparallelization]}
seeds: 2`,
		"bursty fleet": `
model: 6.7B
instance: g4dn.12xlarge
trace: {generate: {kind: bursty, instances: 9, up_at_start: 8, zones: 3, mean_between_bursts_s: 600, share: 0.7, mean_down_s: 200, end_s: 3600}}
arrivals: {kind: gamma, cv: 3, rate_rps: 1, prompt_tokens: {distribution: uniform, min: 10, max: 900}, output_tokens: {distribution: lognormal, mean: 100, sigma: 1, max: 500}}
sweep: {grace_s: [0, 120], approach: [spotserve, rerouting, reparallelization], level: [0]}`,
		"levels": `
model: 20B
instance: g4dn.12xlarge
trace: {generate: {kind: poisson, instances: 11, mean_up_s: 600, mean_down_s: 60, end_s: 1800}}
arrivals: {rate_rps: 0.3}
sweep: {level: [1, 2, 3, 4], grace: [0, 30]}`,
		"continuous from a file": `
model: llama-2-7b
instance: g5.12xlarge
trace: {generate: {kind: poisson, instances: 6, mean_up_s: 1200, mean_down_s: 300, end_s: 1800}}
arrivals: {file: a.csv, rescale: {rate_rps: 1.5}}
batching: continuous
batch_limit: 16
sweep: {grace: [0, 30], approach: [spotserve, rerouting]}`,
		"objectives": `
model: llama-3-8b
instance: g6.12xlarge
trace: {fixed: {instances: 6, end_s: 900}}
arrivals: {rate_rps: 1}
slo_p99_s: 60
sweep: {objective: [latency, slo, cost]}`,
		"closed loop": `
model: 6.7B
instance: g4dn.12xlarge
trace: {generate: {kind: bursty, instances: 10, zones: 2, mean_between_bursts_s: 500, share: 0.6, mean_down_s: 300, end_s: 1800}}
provision: {mode: closed-loop, max_instances: 8, candidate_pool: 1, on_demand: true}
arrivals: {rate_rps: 1}
rate_window_s: 60
sweep: {provision.on_demand: [true, false], objective: [latency, cost], grace: [0, 30]}`,
	} {
		custom, err := ReadCustom(filepath.Join(folder, "x.yaml"), []byte("name: x\n"+text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, run := range custom.Runs() {
			t.Run(fmt.Sprint(name, run.Sweep, run.Seed), func(t *testing.T) {
				spec, timeline := mustResolve(t, run.Start)
				checkPrinted(t, run, spec, timeline)
				completed, refused := 0, 0
				for _, ev := range play(t, spec, timeline) {
					switch ev.Body.(type) {
					case event.RequestCompleted:
						completed++
					case event.RequestRefused:
						refused++
					}
				}
				if completed < len(timeline.Arrivals)/4 || refused > 0 {
					t.Errorf("of %d requests %d are completed, %d refused", len(timeline.Arrivals), completed, refused)
				}
			})
		}
	}
}

// checkPrinted requires that what Config prints of a run stands for that run.
func checkPrinted(t *testing.T, run CustomRun, spec experiment.Spec, timeline experiment.Timeline) {
	t.Helper()
	text, err := Config(run.Start)
	if err != nil {
		t.Fatal(err)
	}
	got, printed := mustBe(t, string(text))
	if !reflect.DeepEqual(got, spec) || !reflect.DeepEqual(printed, timeline) {
		t.Errorf("the printed file resolves to\n%+v, want\n%+v\n%s", got, spec, text)
	}
}
