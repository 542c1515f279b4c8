package obs

// The keys of what log lines are about. Every line about a run has KeyRun, and the
// others where there is such a thing.
const (
	KeyRun     = "run"
	KeyEpoch   = "epoch" // of a plan: term and number, "1.3"
	KeyNode    = "node"
	KeyRequest = "request"
	// KeyTrace is the id of the trace that a line belongs to, where that is traced.
	KeyTrace = "trace_id"
)
