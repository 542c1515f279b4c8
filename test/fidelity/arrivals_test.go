package fidelity

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/core/arrival"
	"github.com/spotserve/spotserve/core/experiment"
)

// TestArrivalProcesses shows what the arrival process alone does.
func TestArrivalProcesses(t *testing.T) {
	pair := []scene{onDemand(6), as(experiment.SpotServe)}
	var scenes []scene
	for _, kind := range arrival.Kinds() {
		for _, s := range pair {
			s.start.Options.Arrivals = string(kind)
			scenes = append(scenes, s)
		}
	}
	runs := playAll(t, scenes)
	var b strings.Builder
	b.WriteString("| arrivals | run | measured CV of the gaps | completed | average, s | P99, s |\n|---|---|---:|---:|---:|---:|\n")
	for i, r := range runs {
		fmt.Fprintf(&b, "| `%s` | %s | %.3f | %d | %.1f | %.1f |\n",
			scenes[i].start.Options.Arrivals, scenes[i].name, r.cv, r.completed, r.avg, r.p99)
	}
	t.Logf("median of %d seeds\n%s", seeds, b.String())
	for i, kind := range arrival.Kinds() {
		got := runs[i*len(pair)].cv
		// Some 350 gaps with a long tail do not come closer to it.
		if want := expectedCV(kind); math.Abs(got-want) > 0.25*max(want, 0.01) {
			t.Errorf("%s: the gaps have a coefficient of variation of %.3f, want about %.3f", kind, got, want)
		}
	}
	keepSection(t, "arrivals", b.String())
}

// expectedCV is the coefficient of variation that a process has by its formula
// at 0.35 requests/s and the setting cv 6.
func expectedCV(kind arrival.Kind) float64 {
	switch kind {
	case arrival.Artifact:
		return math.Sqrt(6 * 0.35 / 1000)
	case arrival.Gamma:
		return 6
	case arrival.Poisson:
		return 1
	default:
		return 0
	}
}

// TestPublishedArrivals plays the arrival times of the published runs. It
// informs; the tables of docs/fidelity.md decide.
func TestPublishedArrivals(t *testing.T) {
	folder := os.Getenv("SPOTSERVE_REFERENCE")
	if folder == "" {
		t.Skip("SKIPPED: set SPOTSERVE_REFERENCE to the folder of the artifact's files to play the published arrivals")
	}
	from := func(set func(*testing.T) ([]scene, []latency)) []number {
		return compareAll(t, func(t *testing.T) ([]scene, []latency) {
			scenes, published := set(t)
			for i := range scenes {
				scenes[i].start.Options.ArrivalsFile = filepath.Join(folder, "arrivals", "query_tpt0.35_cv6.txt")
			}
			return scenes, published
		})
	}
	for name, numbers := range map[string][]number{"fixed fleets": from(fleets), "A_S": from(approaches)} {
		t.Logf("published arrivals on %s, mean absolute error %.1f %%\n%s", name, 100*meanAbsoluteError(numbers), table(numbers))
	}
}
