package wire

import (
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/vtime"
	pb "github.com/spotserve/spotserve/proto/spotserve/v1"
)

func contextMigratedOut(c *check, b event.ContextMigrated) *pb.ContextMigrated {
	return &pb.ContextMigrated{
		Epoch:     epochOut(c, b.Epoch),
		AtNs:      int64(b.At),
		Bytes:     c.bytes("bytes", b.Bytes),
		DiskBytes: c.bytes("disk_bytes", b.DiskBytes),
	}
}

func contextMigratedIn(c *check, m *pb.ContextMigrated) event.ContextMigrated {
	return event.ContextMigrated{
		Epoch:     part(c, "epoch", m.Epoch, epochIn),
		At:        vtime.Time(m.AtNs),
		Bytes:     c.bytes("bytes", m.Bytes),
		DiskBytes: c.bytes("disk_bytes", m.DiskBytes),
	}
}

func stageStartedOut(c *check, b event.StageStarted) *pb.StageStarted {
	return &pb.StageStarted{
		Epoch:    epochOut(c, b.Epoch),
		Pipeline: c.count("pipeline", b.Pipeline),
		Stage:    c.count("stage", b.Stage),
		Shards:   c.count("shards", b.Shards),
		AtNs:     int64(b.At),
	}
}

func stageStartedIn(c *check, m *pb.StageStarted) event.StageStarted {
	return event.StageStarted{
		Epoch:    part(c, "epoch", m.Epoch, epochIn),
		Pipeline: c.int("pipeline", m.Pipeline),
		Stage:    c.int("stage", m.Stage),
		Shards:   c.int("shards", m.Shards),
		At:       vtime.Time(m.AtNs),
	}
}

func batchStartedOut(c *check, b event.BatchStarted) *pb.BatchStarted {
	return &pb.BatchStarted{
		Epoch:    epochOut(c, b.Epoch),
		Pipeline: c.count("pipeline", b.Pipeline),
		Batch:    c.positive("batch", b.Batch),
		Requests: same[uint64](b.Requests),
		Resumed:  b.Resumed,
		AtNs:     int64(b.At),
	}
}

func batchStartedIn(c *check, m *pb.BatchStarted) event.BatchStarted {
	return event.BatchStarted{
		Epoch:    part(c, "epoch", m.Epoch, epochIn),
		Pipeline: c.int("pipeline", m.Pipeline),
		Batch:    c.positive("batch", m.Batch),
		Requests: same[event.RequestID](m.Requests),
		Resumed:  m.Resumed,
		At:       vtime.Time(m.AtNs),
	}
}

func tokensCommittedOut(c *check, b event.TokensCommitted) *pb.TokensCommitted {
	return &pb.TokensCommitted{
		Epoch:     epochOut(c, b.Epoch),
		Pipeline:  c.count("pipeline", b.Pipeline),
		Batch:     c.positive("batch", b.Batch),
		Tokens:    c.count("tokens", b.Tokens),
		AtNs:      int64(b.At),
		Generated: list(c, "generated", b.Generated, generatedOut),
	}
}

func tokensCommittedIn(c *check, m *pb.TokensCommitted) event.TokensCommitted {
	return event.TokensCommitted{
		Epoch:     part(c, "epoch", m.Epoch, epochIn),
		Pipeline:  c.int("pipeline", m.Pipeline),
		Batch:     c.positive("batch", m.Batch),
		Tokens:    c.int("tokens", m.Tokens),
		At:        vtime.Time(m.AtNs),
		Generated: list(c, "generated", m.Generated, generatedIn),
	}
}

func batchCompletedOut(c *check, b event.BatchCompleted) *pb.BatchCompleted {
	return &pb.BatchCompleted{
		Epoch:       epochOut(c, b.Epoch),
		Pipeline:    c.count("pipeline", b.Pipeline),
		Batch:       c.positive("batch", b.Batch),
		Requests:    same[uint64](b.Requests),
		StartedAtNs: int64(b.StartedAt),
		EndedAtNs:   int64(b.EndedAt),
		Generated:   list(c, "generated", b.Generated, generatedOut),
	}
}

func batchCompletedIn(c *check, m *pb.BatchCompleted) event.BatchCompleted {
	return event.BatchCompleted{
		Epoch:     part(c, "epoch", m.Epoch, epochIn),
		Pipeline:  c.int("pipeline", m.Pipeline),
		Batch:     c.positive("batch", m.Batch),
		Requests:  same[event.RequestID](m.Requests),
		StartedAt: vtime.Time(m.StartedAtNs),
		EndedAt:   vtime.Time(m.EndedAtNs),
		Generated: list(c, "generated", m.Generated, generatedIn),
	}
}

func pipelineExitedOut(c *check, b event.PipelineExited) *pb.PipelineExited {
	return &pb.PipelineExited{
		Epoch:       epochOut(c, b.Epoch),
		Pipeline:    c.count("pipeline", b.Pipeline),
		AtNs:        int64(b.At),
		Batch:       b.Batch,
		StartedAtNs: int64(b.StartedAt),
		Interrupted: list(c, "interrupted", b.Interrupted, progressOut),
		Unprocessed: same[uint64](b.Unprocessed),
		Computed:    c.count("computed", b.Computed),
		Generated:   list(c, "generated", b.Generated, generatedOut),
	}
}

func pipelineExitedIn(c *check, m *pb.PipelineExited) event.PipelineExited {
	return event.PipelineExited{
		Epoch:       part(c, "epoch", m.Epoch, epochIn),
		Pipeline:    c.int("pipeline", m.Pipeline),
		At:          vtime.Time(m.AtNs),
		Batch:       m.Batch,
		StartedAt:   vtime.Time(m.StartedAtNs),
		Interrupted: list(c, "interrupted", m.Interrupted, progressIn),
		Unprocessed: same[event.RequestID](m.Unprocessed),
		Computed:    c.int("computed", m.Computed),
		Generated:   list(c, "generated", m.Generated, generatedIn),
	}
}

func requestsJoinedOut(c *check, b event.RequestsJoined) *pb.RequestsJoined {
	return &pb.RequestsJoined{
		Epoch:    epochOut(c, b.Epoch),
		Pipeline: c.count("pipeline", b.Pipeline),
		Batch:    c.positive("batch", b.Batch),
		Requests: same[uint64](b.Requests),
		Resumed:  b.Resumed,
		Tokens:   c.count("tokens", b.Tokens),
		AtNs:     int64(b.At),
	}
}

func requestsJoinedIn(c *check, m *pb.RequestsJoined) event.RequestsJoined {
	return event.RequestsJoined{
		Epoch:    part(c, "epoch", m.Epoch, epochIn),
		Pipeline: c.int("pipeline", m.Pipeline),
		Batch:    c.positive("batch", m.Batch),
		Requests: same[event.RequestID](m.Requests),
		Resumed:  m.Resumed,
		Tokens:   c.int("tokens", m.Tokens),
		At:       vtime.Time(m.AtNs),
	}
}

func requestsLeftOut(c *check, b event.RequestsLeft) *pb.RequestsLeft {
	return &pb.RequestsLeft{
		Epoch:     epochOut(c, b.Epoch),
		Pipeline:  c.count("pipeline", b.Pipeline),
		Batch:     c.positive("batch", b.Batch),
		Requests:  same[uint64](b.Requests),
		Tokens:    c.count("tokens", b.Tokens),
		AtNs:      int64(b.At),
		Generated: list(c, "generated", b.Generated, generatedOut),
	}
}

func requestsLeftIn(c *check, m *pb.RequestsLeft) event.RequestsLeft {
	return event.RequestsLeft{
		Epoch:     part(c, "epoch", m.Epoch, epochIn),
		Pipeline:  c.int("pipeline", m.Pipeline),
		Batch:     c.positive("batch", m.Batch),
		Requests:  same[event.RequestID](m.Requests),
		Tokens:    c.int("tokens", m.Tokens),
		At:        vtime.Time(m.AtNs),
		Generated: list(c, "generated", m.Generated, generatedIn),
	}
}

func progressOut(c *check, p event.Progress) *pb.Progress {
	return &pb.Progress{
		Request:   uint64(p.Request),
		Committed: c.count("committed", p.Committed),
	}
}

func progressIn(c *check, m *pb.Progress) event.Progress {
	return event.Progress{
		Request:   event.RequestID(m.Request),
		Committed: c.int("committed", m.Committed),
	}
}

func timerFiredOut(c *check, b event.TimerFired) *pb.TimerFired {
	return &pb.TimerFired{Timer: c.text("timer", b.Timer), Completion: b.Completion}
}

func timerFiredIn(c *check, m *pb.TimerFired) event.TimerFired {
	return event.TimerFired{Timer: c.text("timer", m.Timer), Completion: m.Completion}
}

func runRecordedOut(c *check, b event.RunRecorded) *pb.RunRecorded {
	return &pb.RunRecorded{Run: c.text("run", b.Run), Rows: c.count("rows", b.Rows)}
}

func runRecordedIn(c *check, m *pb.RunRecorded) event.RunRecorded {
	return event.RunRecorded{Run: c.text("run", m.Run), Rows: c.int("rows", m.Rows)}
}
