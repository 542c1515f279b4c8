package fidelity

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/catalog"
	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/topology"
)

// maxBatchError is how far docs/fidelity.md lets the estimate of a whole batch be
// off.
const maxBatchError = 0.25

// measuredOn names the instance type that the profiles of a GPU were measured
// on.
var measuredOn = map[string]string{"T4": "g4dn.12xlarge", "V100": "p3.8xlarge"}

// phase is a phase of inference.
type phase string

const (
	prefill phase = "prefill"
	decode  phase = "decode"
)

// layerRow is a measured row of one layer beside the estimate of it.
type layerRow struct {
	gpu                 string
	tensor              int
	phase               phase
	measured, estimated float64 // ms
}

// off is the relative error, positive where the estimate is slower.
func (r layerRow) off() float64 { return r.estimated/r.measured - 1 }

// layerRows estimates every measured row of the catalogue.
func layerRows(t *testing.T, efficiencies cost.Efficiencies) []layerRow {
	t.Helper()
	var out []layerRow
	for _, name := range catalog.Profiles() {
		measured, model, err := catalog.Profile(name)
		if err != nil {
			t.Fatal(err)
		}
		r, err := catalog.Roofline(model, measuredOn[measured.GPU])
		if err != nil {
			t.Fatal(err)
		}
		r.Efficiencies = efficiencies
		r.Architecture.Vocabulary = 1 // measured rows are of layers alone
		tensors, batches := measured.Tensors, measured.Tensors[0].Rows
		estimated, err := r.Profile(measured.PromptTokens, tensors[len(tensors)-1].Tensor, batches[len(batches)-1].Batch)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for i, tensor := range tensors {
			for j, row := range tensor.Rows {
				guess := estimated.Tensors[i].Rows[j]
				out = append(out,
					layerRow{measured.GPU, tensor.Tensor, prefill, row.Prefill, guess.Prefill},
					layerRow{measured.GPU, tensor.Tensor, decode, row.Decode, guess.Decode})
			}
		}
	}
	return out
}

// errorsOf summarises rows: how many, the median of the absolute errors, and the
// worst with its sign, in percent.
func errorsOf(rows []layerRow) string {
	absolute := make([]float64, len(rows))
	worst := 0.0
	for i, r := range rows {
		absolute[i] = math.Abs(r.off())
		if math.Abs(r.off()) > math.Abs(worst) {
			worst = r.off()
		}
	}
	slices.Sort(absolute)
	return fmt.Sprintf("%.0f %% | %+.0f %%", 100*absolute[len(absolute)/2], 100*worst)
}

func only(rows []layerRow, keep func(layerRow) bool) []layerRow {
	return slices.DeleteFunc(slices.Clone(rows), func(r layerRow) bool { return !keep(r) })
}

// TestRoofline measures the estimated profiles against the measured ones, with
// the efficiencies that were chosen before.
func TestRoofline(t *testing.T) {
	rows := layerRows(t, cost.DefaultEfficiencies())
	var b strings.Builder
	b.WriteString("| GPU | tensor degree | rows a phase | prefill, median | prefill, worst | decode, median | decode, worst |\n|---|---|---:|---:|---:|---:|---:|\n")
	line := func(gpu, tensor string, of []layerRow) {
		inPhase := func(p phase) []layerRow { return only(of, func(r layerRow) bool { return r.phase == p }) }
		fmt.Fprintf(&b, "| %s | %s | %d | %s | %s |\n", gpu, tensor, len(of)/2, errorsOf(inPhase(prefill)), errorsOf(inPhase(decode)))
	}
	for _, gpu := range []string{"T4", "V100"} {
		all := only(rows, func(r layerRow) bool { return r.gpu == gpu })
		line(gpu, "all", all)
		for tensor := 1; ; tensor *= 2 {
			degree := only(all, func(r layerRow) bool { return r.tensor == tensor })
			if len(degree) == 0 {
				break
			}
			line(gpu, fmt.Sprint(tensor), degree)
		}
	}
	t.Log(b.String())
	keepSection(t, "roofline", b.String())
}

// efficiencyOf is the one efficiency of a phase, in steps of a hundredth, with
// the least mean absolute error of the logarithm over a GPU's rows.
func efficiencyOf(t *testing.T, gpu string, p phase) float64 {
	t.Helper()
	best, least := 0.0, math.Inf(1)
	for hundredths := 10; hundredths <= 100; hundredths++ {
		e := float64(hundredths) / 100
		sum := 0.0
		for _, r := range layerRows(t, withEfficiency(p, e)) {
			if r.gpu == gpu && r.phase == p {
				sum += math.Abs(math.Log(r.estimated / r.measured))
			}
		}
		if sum < least {
			best, least = e, sum
		}
	}
	return best
}

// withEfficiency sets the efficiency of the resource that bounds a phase.
func withEfficiency(p phase, e float64) cost.Efficiencies {
	out := cost.DefaultEfficiencies()
	if p == prefill {
		out.Compute = e
	} else {
		out.Memory = e
	}
	return out
}

// TestRooflineTransfers fits one efficiency a phase on one GPU and predicts the
// other with it: what such a fit is worth elsewhere. The estimates use none.
func TestRooflineTransfers(t *testing.T) {
	var b strings.Builder
	b.WriteString("| phase | fitted on | efficiency | there, median | there, worst | the other GPU, median | the other GPU, worst |\n|---|---|---:|---:|---:|---:|---:|\n")
	for _, p := range []phase{prefill, decode} {
		for _, gpu := range []string{"T4", "V100"} {
			e := efficiencyOf(t, gpu, p)
			rows := only(layerRows(t, withEfficiency(p, e)), func(r layerRow) bool { return r.phase == p })
			home := only(rows, func(r layerRow) bool { return r.gpu == gpu })
			away := only(rows, func(r layerRow) bool { return r.gpu != gpu })
			fmt.Fprintf(&b, "| %s | %s | %.2f | %s | %s |\n", p, gpu, e, errorsOf(home), errorsOf(away))
		}
	}
	t.Log(b.String())
	keepSection(t, "roofline-transfer", b.String())
}

// TestRooflineBatches compares whole batches, with borders, embedding and
// end-to-end factor, on the configurations of the published runs.
func TestRooflineBatches(t *testing.T) {
	var b strings.Builder
	b.WriteString("| profile | configuration | requests | measured, s | estimated, s | error |\n|---|---|---:|---:|---:|---:|\n")
	for _, c := range []struct {
		profile          string
		pipeline, tensor int
		micro            int
	}{{"T4-6.7B", 1, 4, 2}, {"T4-20B", 3, 4, 4}, {"T4-20B", 2, 8, 4}, {"T4-30B", 2, 8, 4}, {"V100-6.7B", 1, 4, 2}, {"V100-20B", 3, 4, 4}} {
		measured, name, err := catalog.Profile(c.profile)
		if err != nil {
			t.Fatal(err)
		}
		r, err := catalog.Roofline(name, measuredOn[measured.GPU])
		if err != nil {
			t.Fatal(err)
		}
		estimated, err := r.Profile(measured.PromptTokens, c.tensor, 4)
		if err != nil {
			t.Fatal(err)
		}
		model := r.Architecture.Model()
		config := topology.ParallelConfig{Data: 1, Pipeline: c.pipeline, Tensor: c.tensor, PrefillMicroBatches: c.micro, DecodeMicroBatches: 1}
		for _, n := range []int{1, 4} {
			truth, guess := batchSeconds(t, model, measured, config, n), batchSeconds(t, model, estimated, config, n)
			if off := guess/truth - 1; math.Abs(off) > maxBatchError {
				t.Errorf("%s on %s: %d requests take %.2f s measured and %.2f s estimated, docs/fidelity.md promises %.0f %%", c.profile, config, n, truth, guess, 100*maxBatchError)
			}
			fmt.Fprintf(&b, "| %s | P%d M%d, M1 = %d | %d | %.2f | %.2f | %+.0f %% |\n", c.profile, c.pipeline, c.tensor, c.micro, n, truth, guess, 100*(guess/truth-1))
		}
	}
	t.Log(b.String())
	keepSection(t, "roofline-batches", b.String())
}

// batchSeconds is T(n) of n requests of 512 and 128 tokens.
func batchSeconds(t *testing.T, model cost.Model, profile cost.Profile, config topology.ParallelConfig, n int) float64 {
	t.Helper()
	latency, err := cost.NewLatencyModel(model, profile)
	if err != nil {
		t.Fatal(err)
	}
	return latency.BatchSeconds(config, n, 512, 128)
}
