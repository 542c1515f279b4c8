//go:build unix

package e2e

import (
	"os"
	"testing"
)

// hundred is a fleet of 100 nodes of four GPUs of which one goes every five or six
// seconds.
const hundred = `
name: hundred
model: 6.7B
instance: g4dn.12xlarge
trace:
  generate: {kind: poisson, instances: 100, mean_up_s: 400, mean_down_s: 150, seed: 1, end_s: 600}
arrivals: {kind: poisson, rate_rps: 5, prompt_tokens: 512, output_tokens: 128}
`

// TestDecisionsOnHundredNodes: the planner decides on every notice of a live run
// on a large fleet, and nothing is lost. It prints how long the decisions took,
// which bench/README.md tells of; no result depends on that.
func TestDecisionsOnHundredNodes(t *testing.T) {
	if os.Getenv("SPOTSERVE_SLOW") == "" {
		t.Skip("SKIPPED: a live run of 40 s; set SPOTSERVE_SLOW=1 to run it")
	}
	// Not beside other tests: what it prints is measured.
	s := newSite(t)
	file := s.file("hundred.yaml", hundred)
	virtual := newSite(t).experiment("run", s.dir+"/"+file, "--virtual")
	up := s.up("--metrics-listen", "127.0.0.1:0", "--log-level", "info")
	live := s.experiment("run", file, "--nats", up.url, "--time-scale", "15")
	if live.int("accepted") == 0 || live.int("accepted") != live.int("completed")+live.int("unfinished_at_end") || live.int("lost") != 0 || live.int("duplicated") != 0 {
		t.Errorf("of %d requests %d were completed, %d unfinished, %d lost, %d completed twice",
			live.int("accepted"), live.int("completed"), live.int("unfinished_at_end"), live.int("lost"), live.int("duplicated"))
	}
	if live.int("late_facts") == 0 {
		mustBeAlike(t, live, virtual)
	}
	notices := s.count("SELECT count(*) FROM fleet_event WHERE event = 'preemption_noticed'")
	metrics := metricsOf(t, up)
	decisions := histogramOf(t, metrics, "spotserve_planner_notice_to_decision_seconds")
	steps := histogramOf(t, metrics, "spotserve_planner_step_seconds")
	if notices < 60 || int(decisions.count) != notices {
		t.Errorf("%v decisions on %d notices of preemptions, want one on each of 60 or more", decisions.count, notices)
	}
	if steps.count < float64(live.int("accepted")) {
		t.Errorf("%v steps for %d requests", steps.count, live.int("accepted"))
	}
	t.Logf("from a notice to the decision: P50 at most %.4g s, P99 at most %.4g s, mean %.3g s of %v; a step: P99 at most %.3g s, mean %.3g s of %v; %d late facts",
		decisions.below(0.5), decisions.below(0.99), decisions.sum/decisions.count, decisions.count,
		steps.below(0.99), steps.sum/steps.count, steps.count, live.int("late_facts"))
	up.stop(t)
}
