package wire

import (
	"time"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/topology"
	"github.com/spotserve/spotserve/core/vtime"
	pb "github.com/spotserve/spotserve/proto/spotserve/v1"
)

func epochOut(_ *check, e event.Epoch) *pb.Epoch { return &pb.Epoch{Term: e.Term, N: e.N} }

func epochIn(_ *check, m *pb.Epoch) event.Epoch { return event.Epoch{Term: m.Term, N: m.N} }

func parallelConfigOut(c *check, t topology.ParallelConfig) *pb.ParallelConfig {
	return &pb.ParallelConfig{
		Data:                c.count("data", t.Data),
		Pipeline:            c.count("pipeline", t.Pipeline),
		Tensor:              c.count("tensor", t.Tensor),
		Batch:               c.count("batch", t.Batch),
		PrefillMicroBatches: c.count("prefill_micro_batches", t.PrefillMicroBatches),
		DecodeMicroBatches:  c.count("decode_micro_batches", t.DecodeMicroBatches),
	}
}

func parallelConfigIn(c *check, m *pb.ParallelConfig) topology.ParallelConfig {
	return topology.ParallelConfig{
		Data:                c.int("data", m.Data),
		Pipeline:            c.int("pipeline", m.Pipeline),
		Tensor:              c.int("tensor", m.Tensor),
		Batch:               c.int("batch", m.Batch),
		PrefillMicroBatches: c.int("prefill_micro_batches", m.PrefillMicroBatches),
		DecodeMicroBatches:  c.int("decode_micro_batches", m.DecodeMicroBatches),
	}
}

func candidateOut(c *check, x event.Candidate) *pb.Candidate {
	return &pb.Candidate{
		Config:     inside(c, "config", x.Config, parallelConfigOut),
		LatencyNs:  int64(x.Latency),
		Throughput: c.float("throughput", x.Throughput),
	}
}

func candidateIn(c *check, m *pb.Candidate) event.Candidate {
	return event.Candidate{
		Config:     part(c, "config", m.Config, parallelConfigIn),
		Latency:    time.Duration(m.LatencyNs),
		Throughput: c.float("throughput", m.Throughput),
	}
}

func configChosenOut(c *check, b event.ConfigChosen) *pb.ConfigChosen {
	return &pb.ConfigChosen{
		Epoch:          epochOut(c, b.Epoch),
		Config:         inside(c, "config", b.Config, parallelConfigOut),
		BatchLimit:     c.count("batch_limit", b.BatchLimit),
		ChangeAtNs:     int64(b.ChangeAt),
		DevicesChanged: c.count("devices_changed", b.DevicesChanged),
		Gpus:           c.count("gpus", b.GPUs),
		Chosen:         inside(c, "chosen", b.Chosen, candidateOut),
		RunnersUp:      list(c, "runners_up", b.RunnersUp, candidateOut),
		Why:            b.Why,
		Pipelines:      list(c, "pipelines", b.Pipelines, pipelinePlaceOut),
	}
}

func configChosenIn(c *check, m *pb.ConfigChosen) event.ConfigChosen {
	return event.ConfigChosen{
		Epoch:          part(c, "epoch", m.Epoch, epochIn),
		Config:         part(c, "config", m.Config, parallelConfigIn),
		BatchLimit:     c.int("batch_limit", m.BatchLimit),
		ChangeAt:       vtime.Time(m.ChangeAtNs),
		DevicesChanged: c.int("devices_changed", m.DevicesChanged),
		GPUs:           c.int("gpus", m.Gpus),
		Chosen:         part(c, "chosen", m.Chosen, candidateIn),
		RunnersUp:      list(c, "runners_up", m.RunnersUp, candidateIn),
		Why:            m.Why,
		Pipelines:      list(c, "pipelines", m.Pipelines, pipelinePlaceIn),
	}
}

func pipelinePlaceOut(c *check, p event.PipelinePlace) *pb.PipelinePlace {
	return &pb.PipelinePlace{
		Pipeline: c.count("pipeline", p.Pipeline),
		Leader:   c.text("leader", p.Leader),
		Nodes:    c.texts("nodes", p.Nodes),
	}
}

func pipelinePlaceIn(c *check, m *pb.PipelinePlace) event.PipelinePlace {
	return event.PipelinePlace{
		Pipeline: c.int("pipeline", m.Pipeline),
		Leader:   c.text("leader", m.Leader),
		Nodes:    c.texts("nodes", m.Nodes),
	}
}

func assignRequestsOut(c *check, b event.AssignRequests) *pb.AssignRequests {
	return &pb.AssignRequests{
		Epoch:    epochOut(c, b.Epoch),
		Pipeline: c.count("pipeline", b.Pipeline),
		Requests: list(c, "requests", b.Requests, assignedRequestOut),
	}
}

func assignRequestsIn(c *check, m *pb.AssignRequests) event.AssignRequests {
	return event.AssignRequests{
		Epoch:    part(c, "epoch", m.Epoch, epochIn),
		Pipeline: c.int("pipeline", m.Pipeline),
		Requests: list(c, "requests", m.Requests, assignedRequestIn),
	}
}

func arrangeInterruptionOut(c *check, b event.ArrangeInterruption) *pb.ArrangeInterruption {
	return &pb.ArrangeInterruption{
		Epoch:       epochOut(c, b.Epoch),
		Pipeline:    c.count("pipeline", b.Pipeline),
		Acquisition: b.Acquisition,
		AtNs:        int64(b.At),
		MigrationNs: int64(b.Migration),
	}
}

func arrangeInterruptionIn(c *check, m *pb.ArrangeInterruption) event.ArrangeInterruption {
	return event.ArrangeInterruption{
		Epoch:       part(c, "epoch", m.Epoch, epochIn),
		Pipeline:    c.int("pipeline", m.Pipeline),
		Acquisition: m.Acquisition,
		At:          vtime.Time(m.AtNs),
		Migration:   time.Duration(m.MigrationNs),
	}
}

func stopPipelineOut(c *check, b event.StopPipeline) *pb.StopPipeline {
	return &pb.StopPipeline{Epoch: epochOut(c, b.Epoch), Pipeline: c.count("pipeline", b.Pipeline)}
}

func stopPipelineIn(c *check, m *pb.StopPipeline) event.StopPipeline {
	return event.StopPipeline{Epoch: part(c, "epoch", m.Epoch, epochIn), Pipeline: c.int("pipeline", m.Pipeline)}
}

func requestFleetOut(c *check, b event.RequestFleet) *pb.RequestFleet {
	return &pb.RequestFleet{
		Instances: c.count("instances", b.Instances),
		OnDemand:  b.OnDemand,
		Release:   c.texts("release", b.Release),
	}
}

func requestFleetIn(c *check, m *pb.RequestFleet) event.RequestFleet {
	return event.RequestFleet{
		Instances: c.int("instances", m.Instances),
		OnDemand:  m.OnDemand,
		Release:   c.texts("release", m.Release),
	}
}

func nodeTimeAccountedOut(c *check, b event.NodeTimeAccounted) *pb.NodeTimeAccounted {
	return &pb.NodeTimeAccounted{
		Node:   c.text("node", b.Node),
		Market: markets.out(c, "market", b.Market),
		FromNs: int64(b.From),
		ToNs:   int64(b.To),
		Usd:    c.float("usd", b.USD),
	}
}

func nodeTimeAccountedIn(c *check, m *pb.NodeTimeAccounted) event.NodeTimeAccounted {
	return event.NodeTimeAccounted{
		Node:   c.text("node", m.Node),
		Market: markets.in(c, "market", m.Market),
		From:   vtime.Time(m.FromNs),
		To:     vtime.Time(m.ToNs),
		USD:    c.float("usd", m.Usd),
	}
}

func runFinishedOut(c *check, b event.RunFinished) *pb.RunFinished {
	return &pb.RunFinished{
		Reason:           endReasons.out(c, "reason", b.Reason),
		Accepted:         c.count("accepted", b.Accepted),
		Completed:        c.count("completed", b.Completed),
		UnfinishedAtEnd:  c.count("unfinished_at_end", b.UnfinishedAtEnd),
		Refused:          c.count("refused", b.Refused),
		Lost:             c.count("lost", b.Lost),
		Duplicated:       c.count("duplicated", b.Duplicated),
		LateFacts:        c.count("late_facts", b.LateFacts),
		Interruptions:    c.count("interruptions", b.Interruptions),
		TokensRecomputed: c.count("tokens_recomputed", b.TokensRecomputed),
		TokensServed:     c.count("tokens_served", b.TokensServed),
		TokensChanged:    c.count("tokens_changed", b.TokensChanged),
		Dropped:          c.count("dropped", b.Dropped),
		CostUsd:          c.float("cost_usd", b.CostUSD),
	}
}

func runFinishedIn(c *check, m *pb.RunFinished) event.RunFinished {
	return event.RunFinished{
		Reason:           endReasons.in(c, "reason", m.Reason),
		Accepted:         c.int("accepted", m.Accepted),
		Completed:        c.int("completed", m.Completed),
		UnfinishedAtEnd:  c.int("unfinished_at_end", m.UnfinishedAtEnd),
		Refused:          c.int("refused", m.Refused),
		Lost:             c.int("lost", m.Lost),
		Duplicated:       c.int("duplicated", m.Duplicated),
		LateFacts:        c.int("late_facts", m.LateFacts),
		Interruptions:    c.int("interruptions", m.Interruptions),
		TokensRecomputed: c.int("tokens_recomputed", m.TokensRecomputed),
		TokensServed:     c.int("tokens_served", m.TokensServed),
		TokensChanged:    c.int("tokens_changed", m.TokensChanged),
		Dropped:          c.int("dropped", m.Dropped),
		CostUSD:          c.float("cost_usd", m.CostUsd),
	}
}

func plannerElectedOut(c *check, b event.PlannerElected) *pb.PlannerElected {
	return &pb.PlannerElected{Term: c.positive("term", b.Term)}
}

func plannerElectedIn(c *check, m *pb.PlannerElected) event.PlannerElected {
	return event.PlannerElected{Term: c.positive("term", m.Term)}
}

func sourcesGivenUpOut(c *check, b event.SourcesGivenUp) *pb.SourcesGivenUp {
	return &pb.SourcesGivenUp{Sources: c.texts("sources", b.Sources), UntilNs: int64(b.Until)}
}

func sourcesGivenUpIn(c *check, m *pb.SourcesGivenUp) event.SourcesGivenUp {
	return event.SourcesGivenUp{Sources: c.texts("sources", m.Sources), Until: vtime.Time(m.UntilNs)}
}

func workerSilentOut(c *check, b event.WorkerSilent) *pb.WorkerSilent {
	return &pb.WorkerSilent{Nodes: c.texts("nodes", b.Nodes)}
}

func workerSilentIn(c *check, m *pb.WorkerSilent) event.WorkerSilent {
	return event.WorkerSilent{Nodes: c.texts("nodes", m.Nodes)}
}
