package wire

import (
	"github.com/spotserve/spotserve/core/event"
	pb "github.com/spotserve/spotserve/proto/spotserve/v1"
)

func preemptionCancelledOut(c *check, b event.PreemptionCancelled) *pb.PreemptionCancelled {
	return &pb.PreemptionCancelled{Nodes: c.texts("nodes", b.Nodes)}
}

func preemptionCancelledIn(c *check, m *pb.PreemptionCancelled) event.PreemptionCancelled {
	return event.PreemptionCancelled{Nodes: c.texts("nodes", m.Nodes)}
}

func rebalanceRecommendedOut(c *check, b event.RebalanceRecommended) *pb.RebalanceRecommended {
	return &pb.RebalanceRecommended{Nodes: c.texts("nodes", b.Nodes)}
}

func rebalanceRecommendedIn(c *check, m *pb.RebalanceRecommended) event.RebalanceRecommended {
	return event.RebalanceRecommended{Nodes: c.texts("nodes", m.Nodes)}
}
