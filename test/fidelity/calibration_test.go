package fidelity

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/core/experiment"
)

// maxError bounds the mean absolute error over the on-demand numbers.
const maxError = 0.05

// number is one published number beside ours, in seconds.
type number struct {
	what            string
	published, ours float64
}

// off is the relative error, positive where ours is slower.
func (n number) off() float64 { return n.ours/n.published - 1 }

// compare lists the two numbers of a run.
func compare(s scene, published, ours latency) []number {
	return []number{
		{s.name + ", average", published.avg, ours.avg},
		{s.name + ", P99", published.p99, ours.p99},
	}
}

// fleets returns the fixed fleets with their published numbers, by size.
func fleets(t *testing.T) ([]scene, []latency) { return calibrationScenes(t, experiment.OnDemand) }

// approaches returns the runs on A_S with their published numbers.
func approaches(t *testing.T) ([]scene, []latency) { return calibrationScenes(t, experiment.EndToEnd) }

// compareAll plays a set of scenes and lists their numbers.
func compareAll(t *testing.T, set func(*testing.T) ([]scene, []latency)) []number {
	t.Helper()
	scenes, published := set(t)
	var numbers []number
	for i, r := range playAll(t, scenes) {
		numbers = append(numbers, compare(scenes[i], published[i], r.latency)...)
	}
	return numbers
}

func meanAbsoluteError(numbers []number) float64 {
	sum := 0.0
	for _, n := range numbers {
		sum += math.Abs(n.off())
	}
	return sum / float64(len(numbers))
}

func table(numbers []number) string {
	var b strings.Builder
	b.WriteString("| run | published, s | ours, s | error |\n|---|---:|---:|---:|\n")
	for _, n := range numbers {
		fmt.Fprintf(&b, "| %s | %.1f | %.1f | %+.1f %% |\n", n.what, n.published, n.ours, 100*n.off())
	}
	return b.String()
}

// TestCalibration compares with all of the calibration data and bounds the
// error of the fixed fleets, which nothing but the latency model and the request
// manager decides.
func TestCalibration(t *testing.T) {
	fixed := compareAll(t, fleets)
	spot := compareAll(t, approaches)
	text := table(slices.Concat(fixed, spot)) + fmt.Sprintf(
		"\nMean absolute error: %.1f %% over the %d on-demand numbers, %.1f %% over the %d on A_S.\n",
		100*meanAbsoluteError(fixed), len(fixed), 100*meanAbsoluteError(spot), len(spot))
	t.Logf("median of %d seeds\n%s", seeds, text)
	if got := meanAbsoluteError(fixed); got > maxError {
		t.Errorf("the on-demand numbers are off by %.1f %% on average, allowed are %.0f %%", 100*got, 100*maxError)
	}
	keepSection(t, "calibration", text)
}
