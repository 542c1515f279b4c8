package catalog

import (
	"fmt"

	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/topology"
)

// checkFit requires that the model runs at all on the most GPUs that the fleet
// can ever have, one request at a time.
func (s *settler) checkFit() {
	model, most := s.model.model(), s.largestFleet()
	latency, err := cost.NewLatencyModel(model, s.profile.profile())
	if err != nil {
		s.doc.part("profile").require(false, "%v", err)
		return
	}
	memory := cost.MemoryModel{
		Model: model, GPUMemoryBytes: s.instance.instanceType().GPUMemoryBytes,
		MigrationBuffer: gibibytes(s.file.MigrationBufferGiB), TokensPerSeq: s.arrivals.prompts.longest + s.arrivals.outputs.longest,
	}
	n := search(latency, memory, most)
	if n.fits {
		return
	}
	c := s.doc.part("model")
	fleet := fmt.Sprintf("the fleet never has more than %d (%s)", most, s.instance.Name)
	more := ""
	if n.gpus > 0 {
		more = fmt.Sprintf("; %d GPUs would do", n.gpus)
	}
	switch {
	case most == 0:
		s.doc.part("trace").require(false, "the fleet never has a GPU")
	case model.MinGPUs > most:
		c.holds("min_gpus", false, "is %d: model %q needs as many GPUs, %s", model.MinGPUs, model.Name, fleet)
	case model.MinGPUs > 0:
		c.holds("min_gpus", false, "is %d, and the depths that divide %d layers make no pipeline of %d to %d GPUs with the tensor degrees of profile %q%s", model.MinGPUs, model.PaddedLayers, model.MinGPUs, most, s.profile.Name, more)
	default:
		weights := cost.MemoryModel{Model: model, GPUMemoryBytes: memory.GPUMemoryBytes, MigrationBuffer: memory.MigrationBuffer}
		if without := search(latency, weights, most); without.fits {
			s.doc.part("arrivals").require(false, "a request of %d prompt and output tokens fits no configuration of model %q: the smallest share of a GPU (P=%d, M=%d) is %s GB with its KV cache and the migration buffer, a GPU has %s; %s%s",
				memory.TokensPerSeq, model.Name, n.shape.Pipeline, n.shape.Tensor, gb(n.bytes), gb(memory.GPUMemoryBytes), fleet, more)
			return
		}
		c.require(false, "model %q fits no configuration: the smallest share of a GPU (P=%d, M=%d) is %s GB with KV cache and migration buffer, a GPU has %s; %s%s",
			model.Name, n.shape.Pipeline, n.shape.Tensor, gb(n.bytes), gb(memory.GPUMemoryBytes), fleet, more)
	}
}

// gb is a size in gigabytes as an answer shows it.
func gb(bytes int64) string {
	if size := float64(bytes) / 1e9; size < 0.1 {
		return fmt.Sprintf("%.3g", size)
	}
	return fmt.Sprintf("%.1f", float64(bytes)/1e9)
}

// need is what a model asks of a fleet.
type need struct {
	fits  bool
	shape topology.ParallelConfig // the one with the smallest share, among those that the fleet has GPUs for
	bytes int64                   // of a GPU, in that shape
	gpus  int                     // the fewest on which it would fit; 0: on none
}

// search looks through the shapes of one request at a time.
func search(latency *cost.LatencyModel, memory cost.MemoryModel, most int) need {
	var n need
	for m := 1; m <= latency.MaxTensor(); m *= 2 {
		for p := 1; p <= memory.Model.PaddedLayers; p++ {
			shape := topology.ParallelConfig{Data: 1, Pipeline: p, Tensor: m, Batch: 1, PrefillMicroBatches: 1, DecodeMicroBatches: 1}
			if !latency.DividesLayers(p) || !latency.Covers(shape, 1) {
				continue
			}
			fits := memory.Fits(shape, 1)
			if fits && (n.gpus == 0 || p*m < n.gpus) {
				n.gpus = p * m
			}
			if p*m > most {
				continue
			}
			n.fits = n.fits || fits
			if bytes := memory.PositionBytes(shape, 1) + memory.MigrationBuffer; n.bytes == 0 || bytes < n.bytes {
				n.shape, n.bytes = shape, bytes
			}
		}
	}
	return n
}
