// Package store is where measured rows go and where SQL reads them.
//
// One writer, the collector, puts rows in; everyone else reads. Every row has a
// key, and putting a row again replaces it by the same: written twice counts
// once. Both implementations (sqlite, clickhouse) show the same tables and
// views, whose columns are named like the fields here in snake case; storetest
// holds them to it. Package open makes either from its URL.
package store

import "context"

// Batch is a set of rows that is written as one.
type Batch struct {
	Runs     []Run
	Requests []RequestLatency
	Outputs  []RequestOutput
	Fleet    []FleetEvent
	Configs  []ConfigChange
	Moves    []Migration
	Nodes    []NodeTime
}

// Len is the number of rows in the batch.
func (b Batch) Len() int {
	return len(b.Runs) + len(b.Requests) + len(b.Outputs) + len(b.Fleet) + len(b.Configs) + len(b.Moves) + len(b.Nodes)
}

// Writer is the collector's side.
type Writer interface {
	// Write stores the batch: all of it, or it returns an error and may be
	// called again with the same batch.
	Write(ctx context.Context, b Batch) error
	// NextRun returns the smallest n such that no run is named kind-n or
	// beyond, for any kind; prefix "v" asks for the names of virtual runs.
	NextRun(ctx context.Context, prefix string) (uint64, error)
	Reader
}

// Reader answers SQL. It cannot change anything.
type Reader interface {
	// Query runs one read-only statement.
	Query(ctx context.Context, sql string, args ...any) (Rows, error)
	Close() error
}

// Rows is a result in memory. Values are nil, bool, int64, float64 or string.
type Rows struct {
	Columns []string
	Values  [][]any
}

// Run is the row of table runs, keyed by Run. A later Version replaces an
// earlier one.
type Run struct {
	Run, Kind, Name, Approach, Model, Trace string
	Level                                   int
	Arrivals, Quirks                        string
	Seed                                    uint64
	TimeScale                               float64
	Virtual                                 bool
	Status                                  string // queued, running, finished, stopped, refused
	Reason                                  string // of a refusal
	StartedUnixMS                           int64  // wall clock
	DurationMS                              float64
	Accepted, Completed, UnfinishedAtEnd    int
	Refused, Lost, Duplicated, LateFacts    int
	Dropped                                 int // of the unfinished, with the artifact's quirks
	Interruptions, TokensRecomputed         int
	CostUSD, USDPerToken                    float64
	Settings                                string // JSON of everything else that makes runs comparable
	Version                                 uint64
}

// RequestLatency is the row of table request_latency, keyed by (Run, Request).
// Times are milliseconds of experiment time.
type RequestLatency struct {
	Run                 string
	Request             uint64
	ArrivedMS           float64
	StartedMS           *float64 // nil: never started
	FinishedMS          *float64 // nil: unfinished
	LatencyMS           *float64
	QueueMS, ComputeMS  float64
	TokensIn, TokensOut int
	CommittedCarried    int
	TokensRecomputed    int
	Interruptions       int
	Pipeline            int    // -1: none
	Config              string // DxPxM
	Status              string // completed, unfinished, refused
}

// RequestOutput is the row of table request_output, keyed by (Run, Request): the
// answer to a request of a run that computes tokens.
type RequestOutput struct {
	Run     string
	Request uint64
	Name    string // the user's id of the request; empty for those of a trace
	Tokens  string // JSON list of numbers
	Text    string // of the tokens, where the model has a tokenizer
}

// FleetEvent is the row of table fleet_event, keyed by (Run, Seq, Node).
type FleetEvent struct {
	Run    string
	Seq    uint64 // of the fact at its source
	Node   string
	Event  string // preemption_noticed, instance_acquired, ...
	Market string
	AtMS   float64
	DueMS  *float64 // deadline of a notice
}

// ConfigChange is the row of table config_change, keyed by (Run, Epoch).
type ConfigChange struct {
	Run            string
	Epoch          string
	AtMS           float64 // of the decision
	ChangeMS       float64 // of the availability event behind it
	D, P, M, B     int     // B: the running batch limit
	DevicesChanged int
	GPUs           int
	LatencyMS      float64 // expected of one batch
	Throughput     float64 // expected, requests/s
	Why            string
	RunnersUp      string // JSON
}

// Migration is the row of table migration, keyed by (Run, Epoch).
type Migration struct {
	Run                               string
	Epoch                             string
	BeginMS, ReadyMS                  float64
	DeadlineMS                        *float64
	EstimateMS                        float64
	Steps                             int
	ModelBytes, CacheBytes, DiskBytes int64
	InterNodeBytes                    int64
	BusiestNodeBytes                  int64
	ResumedRequests, RequeuedRequests int
}

// NodeTime is the row of table node_time, keyed by (Run, Node, FromMS).
type NodeTime struct {
	Run, Node, Market string
	FromMS, ToMS      float64
	USD               float64
}
