package serve

import (
	"fmt"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/vtime"
)

// Limiter decides which requests of users a run takes. It keeps one instant,
// whatever arrives, and its decisions are a function of the requests that were
// taken and of when they were stored: a planner that takes over decides alike.
type Limiter struct {
	limits experiment.Limits
	bucket Bucket
}

// NewLimiter returns a limiter whose bucket is full.
func NewLimiter(l experiment.Limits) *Limiter {
	return &Limiter{limits: l, bucket: Bucket{PerSecond: l.RequestsPerSecond, Burst: l.Burst}}
}

// Admit takes a request that arrives at now while so many wait in the queue, or says
// why not and what is allowed. What it does not take leaves no trace.
func (l *Limiter) Admit(b event.RequestArrived, now vtime.Time, waiting int) (refusal string) {
	limits := l.limits
	if limits.None() {
		return ""
	}
	if p := b.Prompt; p != nil {
		switch {
		case len(p.Text) > limits.PromptBytes:
			return fmt.Sprintf("the prompt has %d bytes: the run allows %d", len(p.Text), limits.PromptBytes)
		case len(p.Tokens) > limits.PromptTokens:
			return fmt.Sprintf("the prompt has %d tokens: the run allows %d", len(p.Tokens), limits.PromptTokens)
		}
	}
	if waiting >= limits.Waiting {
		return fmt.Sprintf("%d requests wait: the run lets %d wait, so send it again later", waiting, limits.Waiting)
	}
	if !l.bucket.Take(now) {
		return fmt.Sprintf("requests come faster than the run allows: %g a second, %d at once, so send it again later", limits.RequestsPerSecond, limits.Burst)
	}
	return ""
}
