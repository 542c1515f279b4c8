package obs

import (
	"runtime/debug"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/spotserve/spotserve/core/event"
)

// newBuildInfo is a metric that says what runs here.
func newBuildInfo() prometheus.Collector {
	version, revision, goVersion := "unknown", "unknown", "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		goVersion = info.GoVersion
		if info.Main.Version != "" {
			version = info.Main.Version
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = s.Value
			}
		}
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "spotserve_build_info",
		Help: "Always 1: the version and revision of this build, the schema version of the events that it writes, and its Go.",
		ConstLabels: prometheus.Labels{
			"version": version, "revision": revision, "schema": strconv.Itoa(event.SchemaVersion), "goversion": goVersion,
		},
	})
	build.Set(1)
	return build
}
