package catalog

import "github.com/spotserve/spotserve/core/cost"

// gpuFile is data/gpus/NAME.yaml: the numbers of a data sheet.
type gpuFile struct {
	Name        string  `yaml:"name"`
	Source      string  `yaml:"source"`
	Description string  `yaml:"description,omitempty"`
	MemoryGB    float64 `yaml:"memory_gb"` // 1e9 bytes
	MemoryGBPS  float64 `yaml:"memory_gb_per_s"`
	// Peak dense rates; 0: the GPU has no such units. FP32 is without tensor
	// cores, FP16 stands for BF16 too, FP8 for INT8.
	FP32TFLOPS float64 `yaml:"fp32_tflops"`
	FP16TFLOPS float64 `yaml:"fp16_tflops,omitempty"`
	FP8TFLOPS  float64 `yaml:"fp8_tflops,omitempty"`
}

// Limits of what a GPU can be.
const (
	maxGBPerS = 1e6
	maxTFLOPS = 1e6
)

func (g gpuFile) check(file string) error {
	c := checker{file: file}
	c.text("name", g.Name)
	c.text("source", g.Source)
	c.positive("memory_gb", g.MemoryGB, maxGPUMemoryGB)
	c.positive("memory_gb_per_s", g.MemoryGBPS, maxGBPerS)
	c.positive("fp32_tflops", g.FP32TFLOPS, maxTFLOPS)
	c.notNegative("fp16_tflops", g.FP16TFLOPS, maxTFLOPS)
	c.notNegative("fp8_tflops", g.FP8TFLOPS, maxTFLOPS)
	return c.err()
}

func (g gpuFile) gpu() cost.GPU {
	return cost.GPU{
		Name:                 g.Name,
		MemoryBytes:          gigabytes(g.MemoryGB),
		MemoryBytesPerSecond: g.MemoryGBPS * 1e9,
		FP32FLOPS:            g.FP32TFLOPS * 1e12,
		FP16FLOPS:            g.FP16TFLOPS * 1e12,
		FP8FLOPS:             g.FP8TFLOPS * 1e12,
	}
}
