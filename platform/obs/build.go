package obs

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/platform/version"
)

// newBuildInfo is a metric that says what runs here.
func newBuildInfo() prometheus.Collector {
	b := version.Of()
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "spotserve_build_info",
		Help: "Always 1: the version and revision of this build, the schema version of the events that it writes, and its Go.",
		ConstLabels: prometheus.Labels{
			"version": b.Version, "revision": b.Commit, "schema": strconv.Itoa(event.SchemaVersion), "goversion": b.Go,
		},
	})
	build.Set(1)
	return build
}
