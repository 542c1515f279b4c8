// Package cost says what things take: the latency of a batch, the memory of a
// position, the seconds of a start or a restart, the dollars of a node.
package cost

import "time"

// Model is a decoder-only transformer as the planner sees it.
type Model struct {
	Name         string
	Layers       int // transformer layers that hold weights and take time
	PaddedLayers int // the count that says which pipeline depths divide the model
	Hidden       int // width of the residual stream
	WeightBytes  int64
	// KVBytesPerToken is the KV cache that one token leaves behind over all
	// layers: 2 (key and value) x layers x hidden x bytes of an element.
	KVBytesPerToken int64
	// MinGPUs is the smallest P*M that fits, where the catalogue gives it.
	// 0 lets the memory model decide.
	MinGPUs int
}

// PhaseLatency holds one measured row of a profile, in milliseconds a layer.
type PhaseLatency struct {
	Batch   int     // requests in the (micro-)batch
	Prefill float64 // "init": the prompt's pass through one layer
	Decode  float64 // "incr": one token's pass through one layer
}

// TensorProfile holds the rows measured at one tensor-parallel degree.
type TensorProfile struct {
	Tensor int
	Rows   []PhaseLatency // ascending by Batch
}

// Profile is a measured latency profile of one model on one GPU type, with the
// units of the published files: milliseconds, prompts of PromptTokens.
type Profile struct {
	Name         string
	GPU          string
	PromptTokens int     // prompt length the prefill rows were measured at
	FixFactor    float64 // final_fix_factor: measured end to end over summed layers
	PrefillComm  float64 // pp_init_comm: one stage border in prefill, ms
	DecodeComm   float64 // pp_incr_comm: one stage border in decode, ms
	Embed        []float64
	MaxTensor    int
	Tensors      []TensorProfile // ascending by Tensor
}

// Market is how an instance was bought.
type Market string

// The markets that instances come from.
const (
	Spot     Market = "spot"
	OnDemand Market = "on-demand"
)

// InstanceType is a kind of node.
type InstanceType struct {
	Name           string
	GPU            string
	GPUs           int
	GPUMemoryBytes int64 // usable by the engine, a GPU
	// InterNodeBytesPerSecond and IntraNodeBytesPerSecond bound what a node
	// sends plus receives over the network, and moves between its own GPUs.
	InterNodeBytesPerSecond float64
	IntraNodeBytesPerSecond float64
	SpotUSDPerHour          float64
	OnDemandUSDPerHour      float64
}

// EngineCosts are the times around inference, measured or fitted for one engine
// on one cluster.
type EngineCosts struct {
	ExecutionScale     float64       // real over profiled batch time
	JitterSigma        float64       // run-to-run deviation of a batch time, a share of it
	EngineStart        time.Duration // start of the inference engine beside a living context daemon
	EngineStop         time.Duration // from the last exit to the start of planning
	DaemonRestart      time.Duration // restart of the context daemons
	Planning           time.Duration // what a reconfiguration waits for its plan
	MigrationSetup     time.Duration // fixed part of every migration
	DiskBytesPerSecond float64       // disk to GPU memory, a GPU
}

// Delays are the modelled hops of one request.
type Delays struct {
	Send     time.Duration // planner to pipeline
	Poll     time.Duration // a pipeline's look into its pool
	Response time.Duration // pipeline to planner
}

// USDPerHour is the price of a node on a market.
func (t InstanceType) USDPerHour(m Market) float64 {
	if m == OnDemand {
		return t.OnDemandUSDPerHour
	}
	return t.SpotUSDPerHour
}
