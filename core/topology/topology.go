// Package topology names the places of a parallel deployment: configurations,
// positions in them, and the devices that fill the positions.
package topology

import (
	"cmp"
	"fmt"
	"strconv"
)

// ParallelConfig is the paper's parallel configuration C = (D, P, M, B)
// (section 3.2) with the micro-batch counts that its latency was solved for.
// It is a comparable value.
type ParallelConfig struct {
	Data     int // D: pipelines that serve independently
	Pipeline int // P: stages of a pipeline
	Tensor   int // M: shards of a stage; a power of two
	Batch    int // B: the mini-batch size the controller solved for

	PrefillMicroBatches int // M1: micro-batches of the prefill phase
	DecodeMicroBatches  int // M2: micro-batches of one decode iteration
}

// Devices is the number of GPUs that c occupies, D*P*M.
func (c ParallelConfig) Devices() int { return c.Data * c.DevicesPerPipeline() }

// DevicesPerPipeline is the number of GPUs of one pipeline, P*M.
func (c ParallelConfig) DevicesPerPipeline() int { return c.Pipeline * c.Tensor }

// IsZero reports whether c serves nothing: no configuration fits.
func (c ParallelConfig) IsZero() bool { return c.Data == 0 }

// SameShape reports whether c and o cut the model alike: equal (P, M).
func (c ParallelConfig) SameShape(o ParallelConfig) bool {
	return c.Pipeline == o.Pipeline && c.Tensor == o.Tensor
}

// String prints c as DxPxM, the way the published plans are written.
func (c ParallelConfig) String() string {
	// Every request's row has one: no fmt.
	return strconv.Itoa(c.Data) + "x" + strconv.Itoa(c.Pipeline) + "x" + strconv.Itoa(c.Tensor)
}

// DevicePosition is the place (d, p, m) of one GPU in a configuration: shard
// Tensor of stage Pipeline of pipeline Data, each counted from 0.
type DevicePosition struct {
	Data     int
	Pipeline int
	Tensor   int
}

// Rank is the position's index in (d, p, m) order.
func (p DevicePosition) Rank(c ParallelConfig) int {
	return (p.Data*c.Pipeline+p.Pipeline)*c.Tensor + p.Tensor
}

// PositionOf is the inverse of Rank.
func PositionOf(c ParallelConfig, rank int) DevicePosition {
	return DevicePosition{
		Data:     rank / c.DevicesPerPipeline(),
		Pipeline: rank / c.Tensor % c.Pipeline,
		Tensor:   rank % c.Tensor,
	}
}

// Device is one GPU: its node and its index there.
type Device struct {
	Node string
	GPU  int
}

// Compare orders devices by node, then by index: the tie-break by device id.
func (d Device) Compare(o Device) int {
	return cmp.Or(CompareNodes(d.Node, o.Node), cmp.Compare(d.GPU, o.GPU))
}

func (d Device) String() string { return fmt.Sprintf("%s/%d", d.Node, d.GPU) }

// CompareNodes orders node names as people count them: node-2 before node-10.
// Runs of digits compare as numbers, everything else byte by byte.
func CompareNodes(a, b string) int {
	if a == b {
		return 0
	}
	i, j := 0, 0
	for i < len(a) && j < len(b) {
		if isDigit(a[i]) && isDigit(b[j]) {
			si, sj := i, j
			for i < len(a) && isDigit(a[i]) {
				i++
			}
			for j < len(b) && isDigit(b[j]) {
				j++
			}
			if c := compareDigits(a[si:i], b[sj:j]); c != 0 {
				return c
			}
			continue
		}
		if a[i] != b[j] {
			return cmp.Compare(a[i], b[j])
		}
		i++
		j++
	}
	// Equal as counted: fall back to bytes so that the order is total.
	return cmp.Or(cmp.Compare(len(a)-i, len(b)-j), cmp.Compare(a, b))
}

func compareDigits(a, b string) int {
	a, b = trimZeros(a), trimZeros(b)
	return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
}

func trimZeros(s string) string {
	for len(s) > 1 && s[0] == '0' {
		s = s[1:]
	}
	return s
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// Placement puts one device at one position.
type Placement struct {
	Device   Device
	Position DevicePosition
}
