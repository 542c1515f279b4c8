package catalog

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/topology"
)

// TestEveryModelRunsOnEveryInstance: an estimated profile prices a batch of any
// model of the catalogue on any instance type.
func TestEveryModelRunsOnEveryInstance(t *testing.T) {
	for model, file := range builtin().models {
		for _, instance := range Instances() {
			r, err := Roofline(model, instance)
			if err != nil {
				t.Fatal(err)
			}
			profile, err := r.Profile(512, min(8, r.Architecture.MaxTensor()), 8)
			if err != nil {
				t.Errorf("%s on %s: %v", model, instance, err)
				continue
			}
			latency, err := cost.NewLatencyModel(file.model(), profile)
			if err != nil {
				t.Errorf("%s on %s: %v", model, instance, err)
				continue
			}
			one := topology.ParallelConfig{Data: 1, Pipeline: 1, Tensor: 8, PrefillMicroBatches: 1, DecodeMicroBatches: 1}
			if got := latency.BatchSeconds(one, 8, 512, 128); got < 0.05 || got > 100 {
				t.Errorf("%s on %s: eight requests take %.3f s", model, instance, got)
			}
		}
	}
}

func TestInstancesArePlausible(t *testing.T) {
	for name, i := range builtin().instances {
		gpu := builtin().gpus[i.GPU].gpu()
		if node := i.instanceType(); node.GPUMemoryBytes >= gpu.MemoryBytes || node.GPUMemoryBytes < gpu.MemoryBytes*9/10 {
			t.Errorf("%s: %d of %d bytes a GPU are usable", name, node.GPUMemoryBytes, gpu.MemoryBytes)
		}
		if i.SpotUSDPerHour <= 0 || i.SpotUSDPerHour >= i.OnDemandUSDPerHour {
			t.Errorf("%s: spot costs %v, on demand %v", name, i.SpotUSDPerHour, i.OnDemandUSDPerHour)
		}
	}
}

// TestModelsHaveTheWeightsOfTheirName compares with the parameters, in
// billions, that the models' publications state.
func TestModelsHaveTheWeightsOfTheirName(t *testing.T) {
	for name, billions := range map[string]float64{
		"345M": 0.35, "6.7B": 6.7, "30B": 30, "llama-2-7b": 6.74, "llama-2-13b": 13.02, "llama-2-70b": 68.98,
		"llama-3-8b": 8.03, "llama-3-70b": 70.55, "mistral-7b": 7.24, "opt-13b": 12.85, "opt-30b": 29.97, "opt-66b": 65.7,
	} {
		got := float64(builtin().models[name].architecture().Parameters()) / 1e9
		if off := got/billions - 1; off > 0.02 || off < -0.02 {
			t.Errorf("%s has %.2f billion weights, want %.2f", name, got, billions)
		}
	}
}

// TestPublishedMinimumIsOfItsGPU: 12 T4 say nothing about GPUs with more memory.
func TestPublishedMinimumIsOfItsGPU(t *testing.T) {
	m := builtin().models["20B"]
	if got := m.on("T4"); got != m {
		t.Errorf("on a T4: %+v", got)
	}
	if got := m.on("A100-80"); got.MinGPUs != 0 || got.MinGPUsWithoutMigrationPlanner != 0 {
		t.Errorf("on an A100: %+v", got)
	}
	m.MinGPUsOn = ""
	if got := m.on("A100-80"); got != m {
		t.Errorf("a minimum for all GPUs: %+v", got)
	}
}

func TestLinksOfInstances(t *testing.T) {
	nvlink, pcie := builtin().instances["p4d.24xlarge"].links(), builtin().instances["g4dn.12xlarge"].links()
	if nvlink.Intra.Latency != 3400*time.Nanosecond || nvlink.Intra.BytesPerSecond != 300e9 || nvlink.GPUsPerNode != 8 {
		t.Errorf("NVLink: %+v", nvlink.Intra)
	}
	if pcie.Intra.Latency != cost.DefaultIntraLatency || pcie.Inter.Latency != cost.DefaultInterLatency {
		t.Errorf("PCIe: %+v", pcie)
	}
	custom := instanceFile{GPUs: 1, InterNodeLatencyUS: 15}
	if got := custom.links().Inter.Latency; got != 15*time.Microsecond {
		t.Errorf("a network of 15 us has %s", got)
	}
}

func TestHardwareLookups(t *testing.T) {
	profile, model, err := Profile("V100-20B")
	if err != nil || model != "20B" || profile.GPU != "V100" {
		t.Errorf("got a profile of %q on %q, %v", model, profile.GPU, err)
	}
	node, err := Instance("p4d.24xlarge")
	if err != nil || node.GPUs != 8 || node.GPU != "A100-40" {
		t.Errorf("got %+v, %v", node, err)
	}
	gpu, err := GPU(node.GPU)
	if err != nil || gpu.MemoryBytes != 40e9 || gpu.FP16FLOPS != 312e12 {
		t.Errorf("got %+v, %v", gpu, err)
	}
	_, unknownNode := Instance("p4d")
	_, unknownGPU := GPU("A100_80")
	_, _, unknownProfile := Profile("V100-21B")
	_, unknownModel := Roofline("llama-2-7c", "g5.12xlarge")
	_, unknownInstance := Roofline("llama-2-7b", "g5.13xlarge")
	for err, want := range map[error]string{
		unknownProfile: "did you mean V100-20B?", unknownModel: "did you mean llama-2-7b?", unknownInstance: "did you mean g5.12xlarge?",
		unknownNode: "did you mean p4d.24xlarge?", unknownGPU: "did you mean A100-80?",
	} {
		if _, ok := errors.AsType[*RefusedError](err); !ok || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want a refusal with %q", err, want)
		}
	}
}
