package obs

import (
	"context"
	"maps"
	"slices"
	"sync"
)

// Readiness is whether a process can do its work: it can while all its
// conditions hold. Actors hold the conditions and set them; nobody polls.
// The zero value has no condition and is ready.
type Readiness struct {
	mu      sync.Mutex
	reasons map[string]string // by condition; empty: it holds
	changed chan struct{}     // closed at the next change; nil while nobody waits
}

// Condition is one thing that has to be so for the process to be ready. All
// its methods may be called from any goroutine.
type Condition struct {
	readiness *Readiness
	name      string
}

// Unmet is a condition that does not hold.
type Unmet struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

// Add returns the condition with this name. A new one does not hold, because
// the process is starting.
func (r *Readiness) Add(name string) *Condition {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.reasons == nil {
		r.reasons = map[string]string{}
	}
	if _, ok := r.reasons[name]; !ok {
		r.reasons[name] = "starting"
	}
	return &Condition{readiness: r, name: name}
}

// Unmet lists the conditions that do not hold, by name.
func (r *Readiness) Unmet() []Unmet {
	r.mu.Lock()
	defer r.mu.Unlock()
	unmet := []Unmet{}
	for _, name := range slices.Sorted(maps.Keys(r.reasons)) {
		if reason := r.reasons[name]; reason != "" {
			unmet = append(unmet, Unmet{Name: name, Reason: reason})
		}
	}
	return unmet
}

// Wait returns when all conditions hold, or with the context's error.
func (r *Readiness) Wait(ctx context.Context) error {
	for len(r.Unmet()) > 0 {
		select {
		case <-r.nextChange():
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// nextChange returns a channel that is closed when a condition is set; it is
// closed already if all hold by now.
func (r *Readiness) nextChange() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.changed == nil {
		r.changed = make(chan struct{})
	}
	c := r.changed
	if !slices.ContainsFunc(slices.Collect(maps.Values(r.reasons)), func(reason string) bool { return reason != "" }) {
		close(c)
		r.changed = nil
	}
	return c
}

// Met says that the condition holds.
func (c *Condition) Met() { c.set("") }

// NotMet says that the condition does not hold, and why.
func (c *Condition) NotMet(reason string) {
	if reason == "" {
		reason = "not met"
	}
	c.set(reason)
}

func (c *Condition) set(reason string) {
	c.readiness.mu.Lock()
	defer c.readiness.mu.Unlock()
	c.readiness.reasons[c.name] = reason
	if c.readiness.changed != nil {
		close(c.readiness.changed)
		c.readiness.changed = nil
	}
}
