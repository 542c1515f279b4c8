package wire

import (
	"time"

	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/vtime"
	pb "github.com/spotserve/spotserve/proto/spotserve/v1"
)

func specOut(c *check, s experiment.Spec) *pb.Spec {
	return &pb.Spec{
		Kind:               experimentKinds.out(c, "kind", s.Kind),
		Name:               s.Name,
		Approach:           string(s.Approach),
		Trace:              s.Trace,
		Level:              c.count("level", s.Level),
		Arrivals:           s.Arrivals,
		Quirks:             quirks.out(c, "quirks", s.Quirks),
		Seed:               s.Seed,
		TimeScale:          c.float("time_scale", s.TimeScale),
		Virtual:            s.Virtual,
		Drain:              s.Drain,
		Model:              inside(c, "model", s.Model, modelOut),
		Profile:            inside(c, "profile", s.Profile, profileOut),
		Instance:           inside(c, "instance", s.Instance, instanceTypeOut),
		Engine:             inside(c, "engine", s.Engine, engineCostsOut),
		Delays:             delaysOut(c, s.Delays),
		GraceNs:            int64(s.Grace),
		ArrivalRate:        c.float("arrival_rate", s.ArrivalRate),
		RequiredThroughput: c.float("required_throughput", s.RequiredThroughput),
		BatchLimit:         c.count("batch_limit", s.BatchLimit),
		Batching:           batchings.out(c, "batching", s.Batching),
		PoolDepth:          c.count("pool_depth", s.PoolDepth),
		PromptTokens:       c.count("prompt_tokens", s.PromptTokens),
		OutputTokens:       c.count("output_tokens", s.OutputTokens),
		CommitInterval:     c.count("commit_interval", s.CommitInterval),
		Nodes:              c.texts("nodes", s.Nodes),
		EndNs:              int64(s.End),
		LargestFleet:       c.count("largest_fleet", s.LargestFleet),
		MigrationBuffer:    c.bytes("migration_buffer", s.MigrationBuffer),
		RateWindowNs:       int64(s.RateWindow),
		Headroom:           c.float("headroom", s.Headroom),
		LongestPrompt:      c.count("longest_prompt", s.LongestPrompt),
		LongestOutput:      c.count("longest_output", s.LongestOutput),
		Objective:          objectives.out(c, "objective", s.Objective),
		SloP99Ns:           int64(s.SLOP99),
		Provision:          provisions.out(c, "provision", s.Provision),
		Provisioning:       inside(c, "provisioning", s.Provisioning, provisioningOut),
		Limits:             inside(c, "limits", s.Limits, limitsOut),
		Sweep:              list(c, "sweep", s.Sweep, sweepValueOut),
		Compute:            computes.out(c, "compute", s.Compute),
		Transformer:        present(c, "transformer", s.Transformer, transformerOut),
		Forced:             list(c, "forced", s.Forced, forcedOut),
	}
}

func specIn(c *check, m *pb.Spec) experiment.Spec {
	return experiment.Spec{
		Kind:               experimentKinds.in(c, "kind", m.Kind),
		Name:               m.Name,
		Approach:           experiment.Approach(m.Approach),
		Trace:              m.Trace,
		Level:              c.int("level", m.Level),
		Arrivals:           m.Arrivals,
		Quirks:             quirks.in(c, "quirks", m.Quirks),
		Seed:               m.Seed,
		TimeScale:          c.float("time_scale", m.TimeScale),
		Virtual:            m.Virtual,
		Drain:              m.Drain,
		Model:              part(c, "model", m.Model, modelIn),
		Profile:            part(c, "profile", m.Profile, profileIn),
		Instance:           part(c, "instance", m.Instance, instanceTypeIn),
		Engine:             part(c, "engine", m.Engine, engineCostsIn),
		Delays:             part(c, "delays", m.Delays, delaysIn),
		Grace:              time.Duration(m.GraceNs),
		ArrivalRate:        c.float("arrival_rate", m.ArrivalRate),
		RequiredThroughput: c.float("required_throughput", m.RequiredThroughput),
		BatchLimit:         c.int("batch_limit", m.BatchLimit),
		Batching:           batchings.in(c, "batching", m.Batching),
		PoolDepth:          c.int("pool_depth", m.PoolDepth),
		PromptTokens:       c.int("prompt_tokens", m.PromptTokens),
		OutputTokens:       c.int("output_tokens", m.OutputTokens),
		CommitInterval:     c.int("commit_interval", m.CommitInterval),
		Nodes:              c.texts("nodes", m.Nodes),
		End:                vtime.Time(m.EndNs),
		LargestFleet:       c.int("largest_fleet", m.LargestFleet),
		MigrationBuffer:    c.bytes("migration_buffer", m.MigrationBuffer),
		RateWindow:         time.Duration(m.RateWindowNs),
		Headroom:           c.float("headroom", m.Headroom),
		LongestPrompt:      c.int("longest_prompt", m.LongestPrompt),
		LongestOutput:      c.int("longest_output", m.LongestOutput),
		Objective:          objectives.in(c, "objective", m.Objective),
		SLOP99:             time.Duration(m.SloP99Ns),
		Provision:          provisions.in(c, "provision", m.Provision),
		Provisioning:       optional(c, "provisioning", m.Provisioning, provisioningIn),
		Limits:             optional(c, "limits", m.Limits, limitsIn),
		Sweep:              list(c, "sweep", m.Sweep, sweepValueIn),
		Compute:            computes.in(c, "compute", m.Compute),
		Transformer:        present(c, "transformer", m.Transformer, transformerIn),
		Forced:             list(c, "forced", m.Forced, forcedIn),
	}
}

func provisioningOut(c *check, p experiment.Provisioning) *pb.Provisioning {
	return &pb.Provisioning{
		MaxInstances:    c.count("max_instances", p.MaxInstances),
		CandidatePool:   c.count("candidate_pool", p.CandidatePool),
		OnDemand:        p.OnDemand,
		SpotStartNs:     int64(p.SpotStart),
		OnDemandStartNs: int64(p.OnDemandStart),
	}
}

func provisioningIn(c *check, m *pb.Provisioning) experiment.Provisioning {
	return experiment.Provisioning{
		MaxInstances:  c.int("max_instances", m.MaxInstances),
		CandidatePool: c.int("candidate_pool", m.CandidatePool),
		OnDemand:      m.OnDemand,
		SpotStart:     time.Duration(m.SpotStartNs),
		OnDemandStart: time.Duration(m.OnDemandStartNs),
	}
}

func limitsOut(c *check, l experiment.Limits) *pb.Limits {
	if l.None() {
		return nil
	}
	return &pb.Limits{
		PromptBytes: c.count("prompt_bytes", l.PromptBytes), PromptTokens: c.count("prompt_tokens", l.PromptTokens),
		Waiting: c.count("waiting", l.Waiting), Burst: c.countFrom("burst", 1, l.Burst),
		RequestsPerSecond: c.atLeast("requests_per_second", minRate, l.RequestsPerSecond),
	}
}

func limitsIn(c *check, m *pb.Limits) experiment.Limits {
	return experiment.Limits{
		PromptBytes: c.int("prompt_bytes", m.PromptBytes), PromptTokens: c.int("prompt_tokens", m.PromptTokens),
		Waiting: c.int("waiting", m.Waiting), Burst: c.intFrom("burst", 1, m.Burst),
		RequestsPerSecond: c.atLeast("requests_per_second", minRate, m.RequestsPerSecond),
	}
}

// minRate keeps the time between two requests a number of nanoseconds.
const minRate = 0.001

func sweepValueOut(c *check, v experiment.SweepValue) *pb.SweepValue {
	return &pb.SweepValue{Key: c.text("key", v.Key), Value: c.text("value", v.Value)}
}

func sweepValueIn(_ *check, m *pb.SweepValue) experiment.SweepValue {
	return experiment.SweepValue{Key: m.Key, Value: m.Value}
}

func modelOut(c *check, x cost.Model) *pb.Model {
	return &pb.Model{
		Name:            x.Name,
		Layers:          c.count("layers", x.Layers),
		PaddedLayers:    c.count("padded_layers", x.PaddedLayers),
		Hidden:          c.count("hidden", x.Hidden),
		WeightBytes:     c.bytes("weight_bytes", x.WeightBytes),
		KvBytesPerToken: c.bytes("kv_bytes_per_token", x.KVBytesPerToken),
		MinGpus:         c.count("min_gpus", x.MinGPUs),
	}
}

func modelIn(c *check, m *pb.Model) cost.Model {
	return cost.Model{
		Name:            m.Name,
		Layers:          c.int("layers", m.Layers),
		PaddedLayers:    c.int("padded_layers", m.PaddedLayers),
		Hidden:          c.int("hidden", m.Hidden),
		WeightBytes:     c.bytes("weight_bytes", m.WeightBytes),
		KVBytesPerToken: c.bytes("kv_bytes_per_token", m.KvBytesPerToken),
		MinGPUs:         c.int("min_gpus", m.MinGpus),
	}
}

func profileOut(c *check, p cost.Profile) *pb.Profile {
	return &pb.Profile{
		Name:          p.Name,
		Gpu:           p.GPU,
		PromptTokens:  c.count("prompt_tokens", p.PromptTokens),
		FixFactor:     c.float("fix_factor", p.FixFactor),
		PrefillCommMs: c.float("prefill_comm_ms", p.PrefillComm),
		DecodeCommMs:  c.float("decode_comm_ms", p.DecodeComm),
		EmbedMs:       c.floats("embed_ms", p.Embed),
		MaxTensor:     c.count("max_tensor", p.MaxTensor),
		Tensors:       list(c, "tensors", p.Tensors, tensorProfileOut),
	}
}

func profileIn(c *check, m *pb.Profile) cost.Profile {
	return cost.Profile{
		Name:         m.Name,
		GPU:          m.Gpu,
		PromptTokens: c.int("prompt_tokens", m.PromptTokens),
		FixFactor:    c.float("fix_factor", m.FixFactor),
		PrefillComm:  c.float("prefill_comm_ms", m.PrefillCommMs),
		DecodeComm:   c.float("decode_comm_ms", m.DecodeCommMs),
		Embed:        c.floats("embed_ms", m.EmbedMs),
		MaxTensor:    c.int("max_tensor", m.MaxTensor),
		Tensors:      list(c, "tensors", m.Tensors, tensorProfileIn),
	}
}

func tensorProfileOut(c *check, t cost.TensorProfile) *pb.TensorProfile {
	return &pb.TensorProfile{
		Tensor: c.count("tensor", t.Tensor),
		Rows:   list(c, "rows", t.Rows, phaseLatencyOut),
	}
}

func tensorProfileIn(c *check, m *pb.TensorProfile) cost.TensorProfile {
	return cost.TensorProfile{
		Tensor: c.int("tensor", m.Tensor),
		Rows:   list(c, "rows", m.Rows, phaseLatencyIn),
	}
}

func phaseLatencyOut(c *check, l cost.PhaseLatency) *pb.PhaseLatency {
	return &pb.PhaseLatency{
		Batch:     c.count("batch", l.Batch),
		PrefillMs: c.float("prefill_ms", l.Prefill),
		DecodeMs:  c.float("decode_ms", l.Decode),
	}
}

func phaseLatencyIn(c *check, m *pb.PhaseLatency) cost.PhaseLatency {
	return cost.PhaseLatency{
		Batch:   c.int("batch", m.Batch),
		Prefill: c.float("prefill_ms", m.PrefillMs),
		Decode:  c.float("decode_ms", m.DecodeMs),
	}
}

func instanceTypeOut(c *check, t cost.InstanceType) *pb.InstanceType {
	return &pb.InstanceType{
		Name:                    t.Name,
		Gpu:                     t.GPU,
		Gpus:                    c.count("gpus", t.GPUs),
		GpuMemoryBytes:          c.bytes("gpu_memory_bytes", t.GPUMemoryBytes),
		InterNodeBytesPerSecond: c.float("inter_node_bytes_per_second", t.InterNodeBytesPerSecond),
		IntraNodeBytesPerSecond: c.float("intra_node_bytes_per_second", t.IntraNodeBytesPerSecond),
		SpotUsdPerHour:          c.float("spot_usd_per_hour", t.SpotUSDPerHour),
		OnDemandUsdPerHour:      c.float("on_demand_usd_per_hour", t.OnDemandUSDPerHour),
	}
}

func instanceTypeIn(c *check, m *pb.InstanceType) cost.InstanceType {
	return cost.InstanceType{
		Name:                    m.Name,
		GPU:                     m.Gpu,
		GPUs:                    c.int("gpus", m.Gpus),
		GPUMemoryBytes:          c.bytes("gpu_memory_bytes", m.GpuMemoryBytes),
		InterNodeBytesPerSecond: c.float("inter_node_bytes_per_second", m.InterNodeBytesPerSecond),
		IntraNodeBytesPerSecond: c.float("intra_node_bytes_per_second", m.IntraNodeBytesPerSecond),
		SpotUSDPerHour:          c.float("spot_usd_per_hour", m.SpotUsdPerHour),
		OnDemandUSDPerHour:      c.float("on_demand_usd_per_hour", m.OnDemandUsdPerHour),
	}
}

func engineCostsOut(c *check, e cost.EngineCosts) *pb.EngineCosts {
	return &pb.EngineCosts{
		ExecutionScale:     c.float("execution_scale", e.ExecutionScale),
		JitterSigma:        c.float("jitter_sigma", e.JitterSigma),
		EngineStartNs:      int64(e.EngineStart),
		EngineStopNs:       int64(e.EngineStop),
		DaemonRestartNs:    int64(e.DaemonRestart),
		PlanningNs:         int64(e.Planning),
		MigrationSetupNs:   int64(e.MigrationSetup),
		DiskBytesPerSecond: c.float("disk_bytes_per_second", e.DiskBytesPerSecond),
	}
}

func engineCostsIn(c *check, m *pb.EngineCosts) cost.EngineCosts {
	return cost.EngineCosts{
		ExecutionScale:     c.float("execution_scale", m.ExecutionScale),
		JitterSigma:        c.float("jitter_sigma", m.JitterSigma),
		EngineStart:        time.Duration(m.EngineStartNs),
		EngineStop:         time.Duration(m.EngineStopNs),
		DaemonRestart:      time.Duration(m.DaemonRestartNs),
		Planning:           time.Duration(m.PlanningNs),
		MigrationSetup:     time.Duration(m.MigrationSetupNs),
		DiskBytesPerSecond: c.float("disk_bytes_per_second", m.DiskBytesPerSecond),
	}
}

func delaysOut(_ *check, d cost.Delays) *pb.Delays {
	return &pb.Delays{SendNs: int64(d.Send), PollNs: int64(d.Poll), ResponseNs: int64(d.Response)}
}

func delaysIn(_ *check, m *pb.Delays) cost.Delays {
	return cost.Delays{
		Send:     time.Duration(m.SendNs),
		Poll:     time.Duration(m.PollNs),
		Response: time.Duration(m.ResponseNs),
	}
}
