package cost

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// GPU is a kind of GPU by the numbers of its data sheet.
type GPU struct {
	Name                 string
	MemoryBytes          int64
	MemoryBytesPerSecond float64
	// Peak dense rates in FLOP/s by the width of an element; 0: the GPU has no
	// such units. FP32 is without tensor cores.
	FP32FLOPS float64
	FP16FLOPS float64 // also BF16
	FP8FLOPS  float64 // or INT8 operations
}

// Peak is the dense rate in FLOP/s for elements of 4, 2 or 1 bytes. A GPU
// without units for the narrow ones computes on the next wider ones, as engines
// with quantized weights do.
func (g GPU) Peak(bytesPerElement int) float64 {
	switch {
	case bytesPerElement == 1 && g.FP8FLOPS > 0:
		return g.FP8FLOPS
	case bytesPerElement <= 2 && g.FP16FLOPS > 0:
		return g.FP16FLOPS
	default:
		return g.FP32FLOPS
	}
}

// Check returns every number that cannot be.
func (g GPU) Check() error {
	var errs []error
	if g.MemoryBytes <= 0 {
		errs = append(errs, fmt.Errorf("GPU %s: memory of %d bytes, allowed is above 0", g.Name, g.MemoryBytes))
	}
	if !positive(g.MemoryBytesPerSecond) {
		errs = append(errs, fmt.Errorf("GPU %s: memory bandwidth of %v bytes/s, allowed is above 0", g.Name, g.MemoryBytesPerSecond))
	}
	if !positive(g.FP32FLOPS) {
		errs = append(errs, fmt.Errorf("GPU %s: FP32 rate of %v FLOP/s, allowed is above 0", g.Name, g.FP32FLOPS))
	}
	for _, rate := range []float64{g.FP16FLOPS, g.FP8FLOPS} {
		if rate != 0 && !positive(rate) {
			errs = append(errs, fmt.Errorf("GPU %s: rate of %v FLOP/s, allowed is 0 (none) and above", g.Name, rate))
		}
	}
	return errors.Join(errs...)
}

// Link is a way between two GPUs, in one direction.
type Link struct {
	BytesPerSecond float64
	Latency        time.Duration // of a message without content
}

// Links are the ways between GPUs.
type Links struct {
	GPUsPerNode int
	Intra       Link // between two GPUs of a node
	Inter       Link // between two nodes
}

// Latencies of links where nothing is known of them: a step of a collective
// over PCIe, and over TCP inside one zone of a cloud.
const (
	DefaultIntraLatency = 10 * time.Microsecond
	DefaultInterLatency = 25 * time.Microsecond
)

// LinksOf are the links of nodes of a type, with the default latencies.
func LinksOf(t InstanceType) Links {
	return Links{
		GPUsPerNode: t.GPUs,
		Intra:       Link{BytesPerSecond: t.IntraNodeBytesPerSecond, Latency: DefaultIntraLatency},
		Inter:       Link{BytesPerSecond: t.InterNodeBytesPerSecond, Latency: DefaultInterLatency},
	}
}

// Check returns every number that cannot be.
func (l Links) Check() error {
	var errs []error
	if l.GPUsPerNode < 1 {
		errs = append(errs, fmt.Errorf("links: %d GPUs a node, allowed is 1 and above", l.GPUsPerNode))
	}
	for _, link := range []struct {
		name string
		Link
	}{{"inside a node", l.Intra}, {"between nodes", l.Inter}} {
		if !positive(link.BytesPerSecond) {
			errs = append(errs, fmt.Errorf("links %s: %v bytes/s, allowed is above 0", link.name, link.BytesPerSecond))
		}
		if link.Latency < 0 {
			errs = append(errs, fmt.Errorf("links %s: latency %s, allowed is 0 and above", link.name, link.Latency))
		}
	}
	return errors.Join(errs...)
}

// positive is false for NaN and infinity too.
func positive(v float64) bool { return v > 0 && !math.IsInf(v, 1) }
