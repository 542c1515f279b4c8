package wire

import (
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/vtime"
	pb "github.com/spotserve/spotserve/proto/spotserve/v1"
)

func runStartedOut(c *check, b event.RunStarted) *pb.RunStarted {
	return &pb.RunStarted{
		Spec:            inside(c, "spec", b.Spec, specOut),
		WallStartUnixNs: b.WallStart,
		Schema:          versionOut(c, "schema", b.Schema),
	}
}

func runStartedIn(c *check, m *pb.RunStarted) event.RunStarted {
	return event.RunStarted{
		Spec:      part(c, "spec", m.Spec, specIn),
		WallStart: m.WallStartUnixNs,
		Schema:    versionIn(m.Schema),
	}
}

func acquisitionNoticedOut(c *check, b event.AcquisitionNoticed) *pb.AcquisitionNoticed {
	return &pb.AcquisitionNoticed{
		Instances: list(c, "instances", b.Instances, instanceOut),
		ReadyAtNs: int64(b.ReadyAt),
	}
}

func acquisitionNoticedIn(c *check, m *pb.AcquisitionNoticed) event.AcquisitionNoticed {
	return event.AcquisitionNoticed{
		Instances: list(c, "instances", m.Instances, instanceIn),
		ReadyAt:   vtime.Time(m.ReadyAtNs),
	}
}

func instanceAcquiredOut(c *check, b event.InstanceAcquired) *pb.InstanceAcquired {
	return &pb.InstanceAcquired{Instances: list(c, "instances", b.Instances, instanceOut)}
}

func instanceAcquiredIn(c *check, m *pb.InstanceAcquired) event.InstanceAcquired {
	return event.InstanceAcquired{Instances: list(c, "instances", m.Instances, instanceIn)}
}

func preemptionNoticedOut(c *check, b event.PreemptionNoticed) *pb.PreemptionNoticed {
	return &pb.PreemptionNoticed{
		Nodes:      c.texts("nodes", b.Nodes),
		DeadlineNs: int64(b.Deadline),
	}
}

func preemptionNoticedIn(c *check, m *pb.PreemptionNoticed) event.PreemptionNoticed {
	return event.PreemptionNoticed{
		Nodes:    c.texts("nodes", m.Nodes),
		Deadline: vtime.Time(m.DeadlineNs),
	}
}

func instanceLostOut(c *check, b event.InstanceLost) *pb.InstanceLost {
	return &pb.InstanceLost{Nodes: c.texts("nodes", b.Nodes), Released: b.Released}
}

func instanceLostIn(c *check, m *pb.InstanceLost) event.InstanceLost {
	return event.InstanceLost{Nodes: c.texts("nodes", m.Nodes), Released: m.Released}
}

func spotCapacityOfferedOut(c *check, b event.SpotCapacityOffered) *pb.SpotCapacityOffered {
	return &pb.SpotCapacityOffered{Nodes: c.texts("nodes", b.Nodes)}
}

func spotCapacityOfferedIn(c *check, m *pb.SpotCapacityOffered) event.SpotCapacityOffered {
	return event.SpotCapacityOffered{Nodes: c.texts("nodes", m.Nodes)}
}

func spotCapacityWithdrawnOut(c *check, b event.SpotCapacityWithdrawn) *pb.SpotCapacityWithdrawn {
	return &pb.SpotCapacityWithdrawn{Nodes: c.texts("nodes", b.Nodes), DeadlineNs: int64(b.Deadline)}
}

func spotCapacityWithdrawnIn(c *check, m *pb.SpotCapacityWithdrawn) event.SpotCapacityWithdrawn {
	return event.SpotCapacityWithdrawn{Nodes: c.texts("nodes", m.Nodes), Deadline: vtime.Time(m.DeadlineNs)}
}

func instanceLaunchedOut(c *check, b event.InstanceLaunched) *pb.InstanceLaunched {
	return &pb.InstanceLaunched{
		Instances: list(c, "instances", b.Instances, instanceOut),
		ReadyAtNs: int64(b.ReadyAt),
	}
}

func instanceLaunchedIn(c *check, m *pb.InstanceLaunched) event.InstanceLaunched {
	return event.InstanceLaunched{
		Instances: list(c, "instances", m.Instances, instanceIn),
		ReadyAt:   vtime.Time(m.ReadyAtNs),
	}
}

func throughputRequiredOut(c *check, b event.ThroughputRequired) *pb.ThroughputRequired {
	return &pb.ThroughputRequired{
		RequestsPerSecond: c.float("requests_per_second", b.RequestsPerSecond),
		FromNs:            int64(b.From),
	}
}

func throughputRequiredIn(c *check, m *pb.ThroughputRequired) event.ThroughputRequired {
	return event.ThroughputRequired{
		RequestsPerSecond: c.float("requests_per_second", m.RequestsPerSecond),
		From:              vtime.Time(m.FromNs),
	}
}

func runEndedOut(c *check, b event.RunEnded) *pb.RunEnded {
	return &pb.RunEnded{Reason: endReasons.out(c, "reason", b.Reason)}
}

func runEndedIn(c *check, m *pb.RunEnded) event.RunEnded {
	return event.RunEnded{Reason: endReasons.in(c, "reason", m.Reason)}
}

func instanceOut(c *check, i experiment.Instance) *pb.Instance {
	return &pb.Instance{
		Node:   c.text("node", i.Node),
		Market: markets.out(c, "market", i.Market),
		Gpus:   c.count("gpus", i.GPUs),
	}
}

func instanceIn(c *check, m *pb.Instance) experiment.Instance {
	return experiment.Instance{
		Node:   c.text("node", m.Node),
		Market: markets.in(c, "market", m.Market),
		GPUs:   c.int("gpus", m.Gpus),
	}
}
