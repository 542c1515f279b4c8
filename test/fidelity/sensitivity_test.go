package fidelity

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/catalog"
	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/vtime"
)

// constant is a number of the model that could be another one.
type constant struct {
	name   string
	unit   string
	base   float64   // as the catalogue has it
	values []float64 // what the table shows beside base
	// low and high bound the search for values at which a conclusion turns.
	low, high float64
	set       func(*scene, float64)
}

// value is a value of the constant with its unit.
func (c constant) value(v float64) string { return strings.TrimSpace(digits(v) + " " + c.unit) }

// digits is a number with at most three digits that count.
func digits(v float64) string { return strconv.FormatFloat(v, 'g', 3, 64) }

// inSpec is a constant that changes the spec of a run.
func inSpec(set func(*experiment.Spec, float64)) func(*scene, float64) {
	return func(s *scene, v float64) {
		s.change = func(spec *experiment.Spec) { set(spec, v) }
	}
}

// constants are those of the runs on A_S that are no measured latency and no
// published setting of the experiment.
func constants() []constant {
	const bytesPerGbit = 1e9 / 8
	return []constant{
		{"`engine_start_s`", "s", 7, []float64{4, 10, 15}, 0, 30,
			inSpec(func(s *experiment.Spec, v float64) { s.Engine.EngineStart = vtime.Duration(v) })},
		{"`engine_stop_s`", "s", 0.05, []float64{0, 1}, 0, 10,
			inSpec(func(s *experiment.Spec, v float64) { s.Engine.EngineStop = vtime.Duration(v) })},
		{"`daemon_restart_s`", "s", 12, []float64{8, 16, 20}, 0, 40,
			inSpec(func(s *experiment.Spec, v float64) { s.Engine.DaemonRestart = vtime.Duration(v) })},
		{"`disk_gb_per_s`", "GB/s a GPU", 0.5, []float64{0.25, 1, 2}, 0.1, 16,
			inSpec(func(s *experiment.Spec, v float64) { s.Engine.DiskBytesPerSecond = v * 1e9 })},
		{"`planning_s`", "s", 0.3, []float64{0, 1}, 0, 10,
			inSpec(func(s *experiment.Spec, v float64) { s.Engine.Planning = vtime.Duration(v) })},
		{"network and links in a node", "Gbit/s", 50, []float64{10, 25, 100}, 1, 400,
			inSpec(func(s *experiment.Spec, v float64) {
				s.Instance.InterNodeBytesPerSecond, s.Instance.IntraNodeBytesPerSecond = v*bytesPerGbit, v*bytesPerGbit
			})},
		{"time of a migration", "times the estimate", 1, []float64{0.5, 2, 4}, 0.1, 16,
			inSpec(func(s *experiment.Spec, v float64) {
				s.Engine.MigrationSetup = vtime.Duration(v * s.Engine.MigrationSetup.Seconds())
				s.Instance.InterNodeBytesPerSecond /= v
				s.Instance.IntraNodeBytesPerSecond /= v
			})},
		{"`migration_buffer_gib`", "GiB a GPU", 1, []float64{0.25, 4}, 0.125, 8,
			inSpec(func(s *experiment.Spec, v float64) { s.MigrationBuffer = int64(v * (1 << 30)) })},
		{"`execution_scale`", "", 1.02, []float64{0.95, 1.1, 1.2}, 0.8, 1.4,
			inSpec(func(s *experiment.Spec, v float64) { s.Engine.ExecutionScale = v })},
		{"`jitter_sigma`", "", 0.02, []float64{0, 0.05, 0.1}, 0, 0.15,
			inSpec(func(s *experiment.Spec, v float64) { s.Engine.JitterSigma = v })},
		{"`send_ms`, `poll_ms`, `response_ms`", "times", 1, []float64{0.1, 10}, 0.1, 30,
			inSpec(func(s *experiment.Spec, v float64) {
				s.Delays = cost.Delays{
					Send:     vtime.Duration(v * s.Delays.Send.Seconds()),
					Poll:     vtime.Duration(v * s.Delays.Poll.Seconds()),
					Response: vtime.Duration(v * s.Delays.Response.Seconds()),
				}
			})},
		{"`grace_s`", "s", 30, []float64{0, 10, 60}, 0, 120,
			inSpec(func(s *experiment.Spec, v float64) { s.Grace = vtime.Duration(v) })},
		{"CV of gamma arrivals", "", 0.05, []float64{0.5, 1, 2, 6}, 0.05, 6,
			func(s *scene, v float64) { s.start.Options.Arrivals, s.cv = "gamma", v }},
	}
}

// alternatives are the choices that are no number.
func alternatives(t *testing.T) []struct {
	name string
	set  func(*scene)
} {
	estimated, err := catalog.Roofline("20B", "g4dn.12xlarge")
	if err != nil {
		t.Fatal(err)
	}
	profile, err := estimated.Profile(512, 8, 4)
	if err != nil {
		t.Fatal(err)
	}
	depth := func(approaches ...experiment.Approach) func(*scene) {
		return func(s *scene) {
			if slices.Contains(approaches, experiment.Approach(s.start.Approach)) {
				s.start.Options.PoolDepth = 2
			}
		}
	}
	arrivals := func(kind string) func(*scene) { return func(s *scene) { s.start.Options.Arrivals = kind } }
	return []struct {
		name string
		set  func(*scene)
	}{
		{"`pool_depth` 2 for the baselines", depth(experiment.Rerouting, experiment.Reparallelization)},
		{"`pool_depth` 2 for all", depth(experiment.SpotServe, experiment.Rerouting, experiment.Reparallelization)},
		{"arrivals `even`", arrivals("even")},
		{"arrivals `poisson`", arrivals("poisson")},
		{"arrivals `gamma`, CV 6", arrivals("gamma")},
		{"profile estimated, not measured", func(s *scene) { s.change = func(spec *experiment.Spec) { spec.Profile = profile } }},
	}
}

// outcome is what the approaches did on A_S: medians over the seeds.
type outcome struct {
	spotserve, rerouting, reparallelization latency
	// first counts the seeds in which SpotServe's P99 is below the baselines'.
	first int
}

// lead is by how much SpotServe's P99 is below the better baseline's, in
// seconds.
func (o outcome) lead() float64 {
	return min(o.rerouting.p99, o.reparallelization.p99) - o.spotserve.p99
}

// order is by how much Rerouting's P99 is below Reparallelization's, in seconds.
func (o outcome) order() float64 { return o.reparallelization.p99 - o.rerouting.p99 }

// tails names the approaches by their P99, shortest first.
func (o outcome) tails() string {
	type tail struct {
		approach string
		p99      float64
	}
	order := []tail{{"S", o.spotserve.p99}, {"R", o.rerouting.p99}, {"P", o.reparallelization.p99}}
	slices.SortStableFunc(order, func(a, b tail) int { return cmp.Compare(a.p99, b.p99) })
	return order[0].approach + " " + order[1].approach + " " + order[2].approach
}

// row is a line of the table; an order that is not the published one is bold.
func (o outcome) row(setting string) string {
	tails := o.tails()
	if tails != "S R P" {
		tails = "**" + tails + "**"
	}
	pair := func(l latency) string { return fmt.Sprintf("%.1f / %.1f", l.avg, l.p99) }
	return fmt.Sprintf("| %s | %s | %s | %s | %s | %d of %d | %.2f / %.2f |\n",
		setting, pair(o.spotserve), pair(o.rerouting), pair(o.reparallelization), tails, o.first, seeds,
		min(o.rerouting.avg, o.reparallelization.avg)/o.spotserve.avg, min(o.rerouting.p99, o.reparallelization.p99)/o.spotserve.p99)
}

// outcomes plays the approaches on A_S under each setting.
func outcomes(t *testing.T, settings []func(*scene)) []outcome {
	t.Helper()
	approaches := []experiment.Approach{experiment.SpotServe, experiment.Rerouting, experiment.Reparallelization}
	var scenes []scene
	for _, set := range settings {
		for _, approach := range approaches {
			s := as(approach)
			set(&s)
			scenes = append(scenes, s)
		}
	}
	runs := playSeeds(t, scenes)
	out := make([]outcome, len(settings))
	for i := range out {
		ours, rerouting, restarting := runs[3*i], runs[3*i+1], runs[3*i+2]
		out[i] = outcome{
			spotserve: medianRun(ours[:]).latency, rerouting: medianRun(rerouting[:]).latency, reparallelization: medianRun(restarting[:]).latency,
		}
		for seed := range seeds {
			if ours[seed].p99 < min(rerouting[seed].p99, restarting[seed].p99) {
				out[i].first++
			}
		}
	}
	return out
}

// TestSensitivity shows what the runs on A_S would be with other constants, and
// whether the conclusions hold.
func TestSensitivity(t *testing.T) {
	names, settings := []string{"as the catalogue has it"}, []func(*scene){func(*scene) {}}
	for _, c := range constants() {
		for _, v := range c.values {
			names = append(names, fmt.Sprintf("%s: %s instead of %s", c.name, digits(v), c.value(c.base)))
			settings = append(settings, func(s *scene) { c.set(s, v) })
		}
	}
	for _, a := range alternatives(t) {
		names, settings = append(names, a.name), append(settings, a.set)
	}
	var b strings.Builder
	b.WriteString("| setting | SpotServe (S) | Rerouting (R) | Reparallelization (P) | P99, shortest first | S first | gain |\n|---|---:|---:|---:|---|---|---:|\n")
	for i, o := range outcomes(t, settings) {
		b.WriteString(o.row(names[i]))
	}
	keepSection(t, "sensitivity", b.String())
}
