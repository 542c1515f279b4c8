//go:build unix

package e2e

import (
	"math"
	"regexp"
	"strconv"
	"testing"
)

// metricsOf reads the metrics of spotserve up --metrics-listen.
func metricsOf(t *testing.T, up upProcess) string {
	t.Helper()
	found := httpAt.FindStringSubmatch(up.Stderr.String())
	if found == nil {
		t.Fatalf("up does not say where its metrics are:\n%s", up.Stderr.String())
	}
	_, metrics := serviceProcess{up.Process, found[1]}.get(t, "/metrics")
	return metrics
}

// histogram is a metric of this kind.
type histogram struct {
	count, sum float64
	buckets    []bucket // ascending
}

// bucket says how many values are at most so large.
type bucket struct{ bound, values float64 }

// histogramOf reads a histogram without labels.
func histogramOf(t *testing.T, metrics, name string) (h histogram) {
	t.Helper()
	number := func(text string) float64 {
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	single := func(suffix string) float64 {
		line := regexp.MustCompile(`(?m)^` + name + `_` + suffix + ` (\S+)$`).FindStringSubmatch(metrics)
		if line == nil {
			t.Fatalf("no metric %s_%s", name, suffix)
		}
		return number(line[1])
	}
	h.count, h.sum = single("count"), single("sum")
	for _, line := range regexp.MustCompile(`(?m)^`+name+`_bucket\{le="([^"]+)"\} (\S+)$`).FindAllStringSubmatch(metrics, -1) {
		h.buckets = append(h.buckets, bucket{number(line[1]), number(line[2])})
	}
	return h
}

// below is the bound of the first bucket that has a share of all values.
func (h histogram) below(share float64) float64 {
	for _, b := range h.buckets {
		if b.values >= share*h.count {
			return b.bound
		}
	}
	return math.Inf(1)
}

func TestHistogramIsRead(t *testing.T) {
	h := histogramOf(t, `# HELP x_seconds a histogram
x_seconds_bucket{le="0.5"} 98
x_seconds_bucket{le="1"} 99
x_seconds_bucket{le="2"} 99
x_seconds_bucket{le="+Inf"} 100
x_seconds_sum 60.5
x_seconds_count 100
`, "x_seconds")
	if h.count != 100 || h.sum != 60.5 || h.below(0.5) != 0.5 || h.below(0.99) != 1 || !math.IsInf(h.below(0.995), 1) {
		t.Errorf("got %+v", h)
	}
}
