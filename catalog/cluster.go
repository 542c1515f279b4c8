package catalog

import (
	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/vtime"
)

// instanceFile is data/instances/NAME.yaml.
type instanceFile struct {
	Name              string  `yaml:"name"`
	Source            string  `yaml:"source,omitempty"`
	Description       string  `yaml:"description,omitempty"`
	GPU               string  `yaml:"gpu"`
	GPUs              int     `yaml:"gpus"`
	UsableGPUMemoryGB float64 `yaml:"usable_gpu_memory_gb"`
	InterNodeGbitPerS float64 `yaml:"inter_node_gbit_per_s"`
	IntraNodeGbitPerS float64 `yaml:"intra_node_gbit_per_s"`
	// What a step of a collective waits for, which only an estimated profile asks
	// for; 0: TCP in one zone and PCIe.
	InterNodeLatencyUS float64 `yaml:"inter_node_latency_us,omitempty"`
	IntraNodeLatencyUS float64 `yaml:"intra_node_latency_us,omitempty"`
	SpotUSDPerHour     float64 `yaml:"spot_usd_per_hour"`
	OnDemandUSDPerHour float64 `yaml:"on_demand_usd_per_hour"`
}

// Limits of what an instance or an engine can be.
const (
	maxGPUsPerNode = 64
	maxGPUMemoryGB = 10_000
	maxGbitPerS    = 1e6
	maxLatencyUS   = 1e6
	maxUSDPerHour  = 1e6
	maxCostSeconds = 86_400
	maxHopMS       = 60_000
	maxScale       = 1000
)

func (i instanceFile) check(file string) error {
	c := checker{file: file}
	c.text("source", i.Source)
	i.checkAll(&c)
	return c.err()
}

func (i instanceFile) checkAll(c *checker) {
	c.text("name", i.Name)
	c.text("gpu", i.GPU)
	c.count("gpus", i.GPUs, maxGPUsPerNode)
	c.positive("usable_gpu_memory_gb", i.UsableGPUMemoryGB, maxGPUMemoryGB)
	c.positive("inter_node_gbit_per_s", i.InterNodeGbitPerS, maxGbitPerS)
	c.positive("intra_node_gbit_per_s", i.IntraNodeGbitPerS, maxGbitPerS)
	c.notNegative("inter_node_latency_us", i.InterNodeLatencyUS, maxLatencyUS)
	c.notNegative("intra_node_latency_us", i.IntraNodeLatencyUS, maxLatencyUS)
	c.notNegative("spot_usd_per_hour", i.SpotUSDPerHour, maxUSDPerHour)
	c.notNegative("on_demand_usd_per_hour", i.OnDemandUSDPerHour, maxUSDPerHour)
}

func (i instanceFile) instanceType() cost.InstanceType {
	const bytesPerGbit = 1e9 / 8
	return cost.InstanceType{
		Name:                    i.Name,
		GPU:                     i.GPU,
		GPUs:                    i.GPUs,
		GPUMemoryBytes:          gigabytes(i.UsableGPUMemoryGB),
		InterNodeBytesPerSecond: i.InterNodeGbitPerS * bytesPerGbit,
		IntraNodeBytesPerSecond: i.IntraNodeGbitPerS * bytesPerGbit,
		SpotUSDPerHour:          i.SpotUSDPerHour,
		OnDemandUSDPerHour:      i.OnDemandUSDPerHour,
	}
}

// links are the ways between the GPUs of such nodes.
func (i instanceFile) links() cost.Links {
	links := cost.LinksOf(i.instanceType())
	if i.InterNodeLatencyUS > 0 {
		links.Inter.Latency = vtime.Duration(i.InterNodeLatencyUS / 1e6)
	}
	if i.IntraNodeLatencyUS > 0 {
		links.Intra.Latency = vtime.Duration(i.IntraNodeLatencyUS / 1e6)
	}
	return links
}

// engineFile is data/engines/NAME.yaml.
type engineFile struct {
	Name            string  `yaml:"name"`
	Source          string  `yaml:"source,omitempty"`
	ExecutionScale  float64 `yaml:"execution_scale"`
	JitterSigma     float64 `yaml:"jitter_sigma"`
	EngineStartS    float64 `yaml:"engine_start_s"`
	EngineStopS     float64 `yaml:"engine_stop_s"`
	DaemonRestartS  float64 `yaml:"daemon_restart_s"`
	PlanningS       float64 `yaml:"planning_s"`
	MigrationSetupS float64 `yaml:"migration_setup_s"`
	DiskGBPerS      float64 `yaml:"disk_gb_per_s"`
	SendMS          float64 `yaml:"send_ms"`
	PollMS          float64 `yaml:"poll_ms"`
	ResponseMS      float64 `yaml:"response_ms"`
}

func (e engineFile) check(file string) error {
	c := checker{file: file}
	c.text("source", e.Source)
	e.checkAll(&c)
	return c.err()
}

func (e engineFile) checkAll(c *checker) {
	c.text("name", e.Name)
	c.positive("execution_scale", e.ExecutionScale, maxScale)
	c.holds("jitter_sigma", e.JitterSigma >= 0 && e.JitterSigma < 0.2, "is %v, allowed is 0 to below 0.2, so that no batch takes a negative time", e.JitterSigma)
	c.notNegative("engine_start_s", e.EngineStartS, maxCostSeconds)
	c.notNegative("engine_stop_s", e.EngineStopS, maxCostSeconds)
	c.notNegative("daemon_restart_s", e.DaemonRestartS, maxCostSeconds)
	c.notNegative("planning_s", e.PlanningS, maxCostSeconds)
	c.notNegative("migration_setup_s", e.MigrationSetupS, maxCostSeconds)
	c.positive("disk_gb_per_s", e.DiskGBPerS, maxScale)
	c.notNegative("send_ms", e.SendMS, maxHopMS)
	c.notNegative("poll_ms", e.PollMS, maxHopMS)
	c.notNegative("response_ms", e.ResponseMS, maxHopMS)
}

func (e engineFile) costs() cost.EngineCosts {
	return cost.EngineCosts{
		ExecutionScale:     e.ExecutionScale,
		JitterSigma:        e.JitterSigma,
		EngineStart:        vtime.Duration(e.EngineStartS),
		EngineStop:         vtime.Duration(e.EngineStopS),
		DaemonRestart:      vtime.Duration(e.DaemonRestartS),
		Planning:           vtime.Duration(e.PlanningS),
		MigrationSetup:     vtime.Duration(e.MigrationSetupS),
		DiskBytesPerSecond: e.DiskGBPerS * 1e9,
	}
}

func (e engineFile) delays() cost.Delays {
	return cost.Delays{
		Send:     vtime.Duration(e.SendMS / 1000),
		Poll:     vtime.Duration(e.PollMS / 1000),
		Response: vtime.Duration(e.ResponseMS / 1000),
	}
}
