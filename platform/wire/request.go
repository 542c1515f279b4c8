package wire

import (
	"time"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/vtime"
	pb "github.com/spotserve/spotserve/proto/spotserve/v1"
)

func requestArrivedOut(c *check, b event.RequestArrived) *pb.RequestArrived {
	return &pb.RequestArrived{
		Request:      uint64(b.Request),
		PromptTokens: c.count("prompt_tokens", b.PromptTokens),
		OutputTokens: c.count("output_tokens", b.OutputTokens),
		Prompt:       present(c, "prompt", b.Prompt, promptOut),
	}
}

func requestArrivedIn(c *check, m *pb.RequestArrived) event.RequestArrived {
	return event.RequestArrived{
		Request:      event.RequestID(m.Request),
		PromptTokens: c.int("prompt_tokens", m.PromptTokens),
		OutputTokens: c.int("output_tokens", m.OutputTokens),
		Prompt:       present(c, "prompt", m.Prompt, promptIn),
	}
}

func requestCompletedOut(c *check, b event.RequestCompleted) *pb.RequestCompleted {
	return &pb.RequestCompleted{
		Record: inside(c, "record", b.Record, requestRecordOut),
		Name:   b.Name,
		Output: c.tokensOut("output", b.Output),
		Text:   b.Text,
	}
}

func requestCompletedIn(c *check, m *pb.RequestCompleted) event.RequestCompleted {
	return event.RequestCompleted{
		Record: part(c, "record", m.Record, requestRecordIn),
		Name:   m.Name,
		Output: c.tokensIn("output", m.Output),
		Text:   m.Text,
	}
}

func requestUnfinishedOut(c *check, b event.RequestUnfinished) *pb.RequestUnfinished {
	return &pb.RequestUnfinished{Record: inside(c, "record", b.Record, requestRecordOut), Name: b.Name}
}

func requestUnfinishedIn(c *check, m *pb.RequestUnfinished) event.RequestUnfinished {
	return event.RequestUnfinished{Record: part(c, "record", m.Record, requestRecordIn), Name: m.Name}
}

func requestRefusedOut(_ *check, b event.RequestRefused) *pb.RequestRefused {
	return &pb.RequestRefused{Request: uint64(b.Request), Reason: b.Reason, Name: b.Name}
}

func requestRefusedIn(_ *check, m *pb.RequestRefused) event.RequestRefused {
	return event.RequestRefused{Request: event.RequestID(m.Request), Reason: m.Reason, Name: m.Name}
}

func requestRecordOut(c *check, r event.RequestRecord) *pb.RequestRecord {
	return &pb.RequestRecord{
		Request:      uint64(r.Request),
		ArrivedNs:    int64(r.Arrived),
		StartedNs:    int64(r.Started),
		FinishedNs:   int64(r.Finished),
		ComputeNs:    int64(r.Compute),
		PromptTokens: c.count("prompt_tokens", r.PromptTokens),
		OutputTokens: c.count("output_tokens", r.OutputTokens),
		Committed:    c.count("committed", r.Committed),
		Recomputed:   c.count("recomputed", r.Recomputed),
		Interrupted:  c.count("interrupted", r.Interrupted),
		Pipeline:     c.countFrom("pipeline", -1, r.Pipeline),
		Config:       inside(c, "config", r.Config, parallelConfigOut),
	}
}

func requestRecordIn(c *check, m *pb.RequestRecord) event.RequestRecord {
	return event.RequestRecord{
		Request:      event.RequestID(m.Request),
		Arrived:      vtime.Time(m.ArrivedNs),
		Started:      vtime.Time(m.StartedNs),
		Finished:     vtime.Time(m.FinishedNs),
		Compute:      time.Duration(m.ComputeNs),
		PromptTokens: c.int("prompt_tokens", m.PromptTokens),
		OutputTokens: c.int("output_tokens", m.OutputTokens),
		Committed:    c.int("committed", m.Committed),
		Recomputed:   c.int("recomputed", m.Recomputed),
		Interrupted:  c.int("interrupted", m.Interrupted),
		Pipeline:     c.intFrom("pipeline", -1, m.Pipeline),
		Config:       part(c, "config", m.Config, parallelConfigIn),
	}
}

func assignedRequestOut(c *check, r event.AssignedRequest) *pb.AssignedRequest {
	return &pb.AssignedRequest{
		Request:      uint64(r.Request),
		PromptTokens: c.count("prompt_tokens", r.PromptTokens),
		OutputTokens: c.count("output_tokens", r.OutputTokens),
		Committed:    c.count("committed", r.Committed),
		Prompt:       present(c, "prompt", r.Prompt, promptOut),
		Output:       c.tokensOut("output", r.Output),
	}
}

func assignedRequestIn(c *check, m *pb.AssignedRequest) event.AssignedRequest {
	return event.AssignedRequest{
		Request:      event.RequestID(m.Request),
		PromptTokens: c.int("prompt_tokens", m.PromptTokens),
		OutputTokens: c.int("output_tokens", m.OutputTokens),
		Committed:    c.int("committed", m.Committed),
		Prompt:       present(c, "prompt", m.Prompt, promptIn),
		Output:       c.tokensIn("output", m.Output),
	}
}
