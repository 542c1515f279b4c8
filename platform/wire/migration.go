package wire

import (
	"time"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/migrate"
	"github.com/spotserve/spotserve/core/topology"
	"github.com/spotserve/spotserve/core/vtime"
	pb "github.com/spotserve/spotserve/proto/spotserve/v1"
)

func migrationPlannedOut(c *check, b event.MigrationPlanned) *pb.MigrationPlanned {
	return &pb.MigrationPlanned{
		Epoch:             epochOut(c, b.Epoch),
		BeginNs:           int64(b.Begin),
		DeadlineNs:        int64(b.Deadline),
		ReadyAtNs:         int64(b.ReadyAt),
		EstimateNs:        int64(b.Estimate),
		Steps:             c.count("steps", b.Steps),
		ModelBytes:        c.bytes("model_bytes", b.ModelBytes),
		CacheBytes:        c.bytes("cache_bytes", b.CacheBytes),
		DiskBytes:         c.bytes("disk_bytes", b.DiskBytes),
		InterNodeBytes:    c.bytes("inter_node_bytes", b.InterNodeBytes),
		BusiestNodeBytes:  c.bytes("busiest_node_bytes", b.BusiestNodeBytes),
		BusiestIntraBytes: c.bytes("busiest_intra_bytes", b.BusiestIntraBytes),
		PeakBufferBytes:   c.bytes("peak_buffer_bytes", b.PeakBufferBytes),
		ResumedRequests:   c.count("resumed_requests", b.ResumedRequests),
		RequeuedRequests:  c.count("requeued_requests", b.RequeuedRequests),
	}
}

func migrationPlannedIn(c *check, m *pb.MigrationPlanned) event.MigrationPlanned {
	return event.MigrationPlanned{
		Epoch:             part(c, "epoch", m.Epoch, epochIn),
		Begin:             vtime.Time(m.BeginNs),
		Deadline:          vtime.Time(m.DeadlineNs),
		ReadyAt:           vtime.Time(m.ReadyAtNs),
		Estimate:          time.Duration(m.EstimateNs),
		Steps:             c.int("steps", m.Steps),
		ModelBytes:        c.bytes("model_bytes", m.ModelBytes),
		CacheBytes:        c.bytes("cache_bytes", m.CacheBytes),
		DiskBytes:         c.bytes("disk_bytes", m.DiskBytes),
		InterNodeBytes:    c.bytes("inter_node_bytes", m.InterNodeBytes),
		BusiestNodeBytes:  c.bytes("busiest_node_bytes", m.BusiestNodeBytes),
		BusiestIntraBytes: c.bytes("busiest_intra_bytes", m.BusiestIntraBytes),
		PeakBufferBytes:   c.bytes("peak_buffer_bytes", m.PeakBufferBytes),
		ResumedRequests:   c.int("resumed_requests", m.ResumedRequests),
		RequeuedRequests:  c.int("requeued_requests", m.RequeuedRequests),
	}
}

func applyMigrationOut(c *check, b event.ApplyMigration) *pb.ApplyMigration {
	return &pb.ApplyMigration{
		Epoch:      epochOut(c, b.Epoch),
		Config:     inside(c, "config", b.Config, parallelConfigOut),
		BatchLimit: c.count("batch_limit", b.BatchLimit),
		BeginNs:    int64(b.Begin),
		Placements: list(c, "placements", b.Placements, placementOut),
		Steps:      list(c, "steps", b.Steps, stepOut),
		Pipelines:  list(c, "pipelines", b.Pipelines, pipelineStartOut),
		Keep:       c.counts("keep", b.Keep),
		KvTokens:   c.count("kv_tokens", b.KVTokens),
	}
}

func applyMigrationIn(c *check, m *pb.ApplyMigration) event.ApplyMigration {
	return event.ApplyMigration{
		Epoch:      part(c, "epoch", m.Epoch, epochIn),
		Config:     part(c, "config", m.Config, parallelConfigIn),
		BatchLimit: c.int("batch_limit", m.BatchLimit),
		Begin:      vtime.Time(m.BeginNs),
		Placements: list(c, "placements", m.Placements, placementIn),
		Steps:      list(c, "steps", m.Steps, stepIn),
		Pipelines:  list(c, "pipelines", m.Pipelines, pipelineStartIn),
		Keep:       c.ints("keep", m.Keep),
		KVTokens:   c.int("kv_tokens", m.KvTokens),
	}
}

func placementOut(c *check, p topology.Placement) *pb.Placement {
	return &pb.Placement{
		Device:   inside(c, "device", p.Device, deviceOut),
		Position: inside(c, "position", p.Position, positionOut),
	}
}

func placementIn(c *check, m *pb.Placement) topology.Placement {
	return topology.Placement{
		Device:   part(c, "device", m.Device, deviceIn),
		Position: part(c, "position", m.Position, positionIn),
	}
}

func deviceOut(c *check, d topology.Device) *pb.Device {
	return &pb.Device{Node: c.text("node", d.Node), Gpu: c.count("gpu", d.GPU)}
}

func deviceIn(c *check, m *pb.Device) topology.Device {
	return topology.Device{Node: c.text("node", m.Node), GPU: c.int("gpu", m.Gpu)}
}

func positionOut(c *check, p topology.DevicePosition) *pb.DevicePosition {
	return &pb.DevicePosition{
		Data:     c.count("data", p.Data),
		Pipeline: c.count("pipeline", p.Pipeline),
		Tensor:   c.count("tensor", p.Tensor),
	}
}

func positionIn(c *check, m *pb.DevicePosition) topology.DevicePosition {
	return topology.DevicePosition{
		Data:     c.int("data", m.Data),
		Pipeline: c.int("pipeline", m.Pipeline),
		Tensor:   c.int("tensor", m.Tensor),
	}
}

func stepOut(c *check, s migrate.Step) *pb.MigrationStep {
	m := &pb.MigrationStep{
		Kind:       contextKinds.out(c, "kind", s.Kind),
		Pipeline:   c.count("pipeline", s.Pipeline),
		Stage:      c.count("stage", s.Stage),
		Bytes:      c.bytes("bytes", s.Bytes),
		To:         inside(c, "to", s.To, deviceOut),
		DeadlineNs: int64(s.Deadline),
		Layer:      c.countFrom("layer", -1, s.Layer),
		AfterNs:    int64(s.After),
		Leaves:     s.Leaves,
	}
	if !s.FromDisk() {
		m.From = inside(c, "from", s.From, deviceOut)
	}
	return m
}

func stepIn(c *check, m *pb.MigrationStep) migrate.Step {
	s := migrate.Step{
		Kind:     contextKinds.in(c, "kind", m.Kind),
		Pipeline: c.int("pipeline", m.Pipeline),
		Stage:    c.int("stage", m.Stage),
		Bytes:    c.bytes("bytes", m.Bytes),
		To:       part(c, "to", m.To, deviceIn),
		Deadline: vtime.Time(m.DeadlineNs),
		Layer:    c.intFrom("layer", -1, m.Layer),
		After:    time.Duration(m.AfterNs),
		Leaves:   m.Leaves,
	}
	if m.From != nil {
		s.From = inside(c, "from", m.From, deviceIn)
	}
	return s
}

func pipelineStartOut(c *check, p event.PipelineStart) *pb.PipelineStart {
	return &pb.PipelineStart{
		Pipeline:        c.count("pipeline", p.Pipeline),
		Leader:          p.Leader,
		EngineReadyAtNs: int64(p.EngineReadyAt),
		StagesReadyAtNs: same[int64](p.StagesReadyAt),
		Resume:          list(c, "resume", p.Resume, assignedRequestOut),
		Devices:         list(c, "devices", p.Devices, placementOut),
	}
}

func pipelineStartIn(c *check, m *pb.PipelineStart) event.PipelineStart {
	return event.PipelineStart{
		Pipeline:      c.int("pipeline", m.Pipeline),
		Leader:        m.Leader,
		EngineReadyAt: vtime.Time(m.EngineReadyAtNs),
		StagesReadyAt: same[vtime.Time](m.StagesReadyAtNs),
		Resume:        list(c, "resume", m.Resume, assignedRequestIn),
		Devices:       list(c, "devices", m.Devices, placementIn),
	}
}
