//go:build unix

package e2e

import (
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestFiveServicesOnNATSServer has every service in a process of its own, on a
// server of its own, and a user who starts an experiment there.
func TestFiveServicesOnNATSServer(t *testing.T) {
	t.Parallel()
	url := startServer(t)
	s := newSite(t)
	services := map[string]serviceProcess{
		"collector":      s.startService("collector", "--nats", url, "--store", s.store),
		"plotter":        s.startService("plotter", "--nats", url, "--store", s.store, "--figures", filepath.Join(s.dir, "drawn")),
		"planner":        s.startService("planner", "--nats", url),
		"worker":         s.startService("worker", "--nats", url, "--node", "*"),
		"trace-replayer": s.startService("trace-replayer", "--nats", url),
	}
	live := s.experiment(job(mainJob, "--nats", url, "--time-scale", fast)...)

	elsewhere := newSite(t)
	virtual := elsewhere.experiment(job(mainJob, "--virtual")...)
	mustBeAlike(t, live, virtual)
	mustHaveSameRows(t, s, elsewhere, live, virtual)
	mustHaveFigures(t, s, live)
	mustBeOnStream(t, s.bus(url), live.text("run"))
	accepted := strconv.Itoa(live.int("accepted"))
	for name, metric := range map[string]string{
		"collector":      `spotserve_collector_rows_total{table="request_latency"} ` + accepted,
		"planner":        `spotserve_planner_events_total{kind="request_arrived"} ` + accepted,
		"plotter":        `spotserve_plotter_figures_total`,
		"trace-replayer": `spotserve_replayer_starts_total{answer="accepted"} 1`,
		"worker":         `spotserve_worker_events_total{kind="apply_migration"}`,
	} {
		if _, metrics := services[name].get(t, "/metrics"); !strings.Contains(metrics, metric) {
			t.Errorf("%s has no metric %s", name, metric)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(services)) {
		services[name].terminate(t)
	}
}
