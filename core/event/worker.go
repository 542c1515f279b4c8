package event

import "github.com/spotserve/spotserve/core/vtime"

// ContextMigrated says that a node has all context of its new positions.
type ContextMigrated struct {
	Epoch     Epoch
	At        vtime.Time
	Bytes     int64 // received from other devices
	DiskBytes int64 // loaded from disk
}

// WorkerJoined says that a new process stands for a node from here on. Whatever
// the node held is gone, and what earlier processes still say counts for nothing.
type WorkerJoined struct{}

// StageStarted says that this node's part of a stage can compute.
type StageStarted struct {
	Epoch    Epoch
	Pipeline int
	Stage    int
	Shards   int // tensor shards of the stage on this node
	At       vtime.Time
}

// BatchStarted says what a pipeline computes now.
type BatchStarted struct {
	Epoch    Epoch
	Pipeline int
	Batch    uint64 // counts the batches of (Epoch, Pipeline) from 1
	Requests []RequestID
	Resumed  bool
	At       vtime.Time
}

// TokensCommitted says how far a batch's tokens are kept: Tokens of them since
// the batch started, for every request that still needs as many. A request that
// joined later has fewer by the batch's tokens at its joining.
type TokensCommitted struct {
	Epoch    Epoch
	Pipeline int
	Batch    uint64
	Tokens   int
	At       vtime.Time
	// Generated is what a measured run has kept; Tokens is then the most of one
	// request since the batch started.
	Generated []Generated
}

// Generated is a part of a request's answer in a measured run.
type Generated struct {
	Request RequestID
	From    int     // place of the first token in the answer
	Tokens  []int32 // that follow
	Done    bool    // the answer ends with them
	// Text is the whole answer, at its end, where the model has a tokenizer.
	Text string
	// PromptTokens is the length of a prompt that came as text, at the end.
	PromptTokens int
	// Refused is why the request cannot be answered at all.
	Refused string
}

// BatchCompleted says that all requests of a batch are answered.
type BatchCompleted struct {
	Epoch     Epoch
	Pipeline  int
	Batch     uint64
	Requests  []RequestID
	StartedAt vtime.Time
	EndedAt   vtime.Time
	Generated []Generated // in a measured run: what no commit has told of
}

// RequestsJoined says which requests joined a continuous batch at a token
// border.
type RequestsJoined struct {
	Epoch    Epoch
	Pipeline int
	Batch    uint64 // counts the batches of (Epoch, Pipeline) from 1; one ends when nobody runs any more
	Requests []RequestID
	Resumed  bool // with their KV cache; else they prefill together
	Tokens   int  // decoding iterations of the batch before
	At       vtime.Time
}

// RequestsLeft says which requests left a continuous batch with their last
// token. They are answered.
type RequestsLeft struct {
	Epoch    Epoch
	Pipeline int
	Batch    uint64
	Requests []RequestID
	Tokens   int // decoding iterations of the batch so far
	At       vtime.Time
	// Generated in a measured run: what no commit has told of.
	Generated []Generated
}

// Progress is how far an interrupted request has come.
type Progress struct {
	Request   RequestID
	Committed int // tokens kept, over all its batches
}

// PipelineExited says that a pipeline stopped for a migration.
type PipelineExited struct {
	Epoch     Epoch
	Pipeline  int
	At        vtime.Time
	Batch     uint64 // the interrupted batch; 0 if there was none
	StartedAt vtime.Time
	// Computed is how many tokens the batch had generated since it began.
	Computed    int
	Interrupted []Progress  // its requests, with their KV cache on the pipeline
	Unprocessed []RequestID // of the pool
	Generated   []Generated // in a measured run: what no commit has told of
}

// WatermarkAdvanced carries nothing but its envelope's watermark.
type WatermarkAdvanced struct{}

// TimerFired is a timer coming back to the core that set it.
type TimerFired struct {
	Timer      string
	Completion bool
}

// Kind implements Body.
func (WorkerJoined) Kind() Kind      { return "worker_joined" }
func (ContextMigrated) Kind() Kind   { return "context_migrated" }
func (StageStarted) Kind() Kind      { return "stage_started" }
func (BatchStarted) Kind() Kind      { return "batch_started" }
func (TokensCommitted) Kind() Kind   { return "tokens_committed" }
func (BatchCompleted) Kind() Kind    { return "batch_completed" }
func (PipelineExited) Kind() Kind    { return "pipeline_exited" }
func (RequestsJoined) Kind() Kind    { return "requests_joined" }
func (RequestsLeft) Kind() Kind      { return "requests_left" }
func (WatermarkAdvanced) Kind() Kind { return "watermark_advanced" }
func (TimerFired) Kind() Kind        { return "timer_fired" }
