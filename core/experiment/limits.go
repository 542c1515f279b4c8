package experiment

// Limits bound what users may ask of a run with requests of their own. The
// requests of the experiment itself are not bounded. The zero value bounds nothing:
// runs of schema version 1 have it.
type Limits struct {
	PromptBytes  int // of a prompt that is text
	PromptTokens int // of a prompt that is tokens
	Waiting      int // requests in the queue, the experiment's too: no more come in
	// RequestsPerSecond may arrive in the long run, by the times at which the stream
	// stored them, and Burst of them at once.
	RequestsPerSecond float64
	Burst             int
}

// DefaultLimits are those of an experiment that names none.
func DefaultLimits() Limits {
	return Limits{PromptBytes: 128 << 10, PromptTokens: 32 << 10, Waiting: 10_000, RequestsPerSecond: 100, Burst: 1_000}
}

// None reports whether nothing is bounded.
func (l Limits) None() bool { return l == Limits{} }
