package fidelity

import (
	"fmt"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/catalog"
)

// TestHardware keeps the tables of GPUs and instances.
func TestHardware(t *testing.T) {
	var b strings.Builder
	b.WriteString("| GPU | memory, GB | GB/s | FP32, TFLOP/s | FP16, TFLOP/s | FP8 or INT8, TFLOP/s |\n|---|---:|---:|---:|---:|---:|\n")
	for _, name := range catalog.GPUs() {
		g, err := catalog.GPU(name)
		if err != nil {
			t.Fatal(err)
		}
		narrow := "-"
		if g.FP8FLOPS > 0 {
			narrow = fmt.Sprint(g.FP8FLOPS / 1e12)
		}
		fmt.Fprintf(&b, "| %s | %v | %v | %v | %v | %s |\n", name, float64(g.MemoryBytes)/1e9, g.MemoryBytesPerSecond/1e9, g.FP32FLOPS/1e12, g.FP16FLOPS/1e12, narrow)
	}
	b.WriteString("\n| instance | GPUs | usable, GB a GPU | network, Gbit/s | in the node, Gbit/s | on demand, USD/h | spot, USD/h |\n|---|---|---:|---:|---:|---:|---:|\n")
	for _, name := range catalog.Instances() {
		i, err := catalog.Instance(name)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "| %s | %d x %s | %v | %v | %v | %v | %v |\n", name, i.GPUs, i.GPU, float64(i.GPUMemoryBytes)/1e9,
			i.InterNodeBytesPerSecond*8/1e9, i.IntraNodeBytesPerSecond*8/1e9, i.OnDemandUSDPerHour, i.SpotUSDPerHour)
	}
	keepSection(t, "hardware", b.String())
}
