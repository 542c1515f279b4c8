package live

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/wire"
)

// Question is a request of a user to a run that computes tokens, in the words of
// the bus (package wire). Keys that are nil are the run's.
type Question struct {
	ID          string   `json:"id"`
	Prompt      string   `json:"prompt,omitempty"`
	Tokens      []int32  `json:"tokens,omitempty"`
	MaxTokens   *int     `json:"max_tokens,omitempty"`
	Temperature *float64 `json:"temperature,omitempty"`
	TopP        *float64 `json:"top_p,omitempty"`
	TopK        *int     `json:"top_k,omitempty"`
	Seed        *uint64  `json:"seed,omitempty"`
}

// ErrRunOver says that a run has ended without an answer.
var ErrRunOver = errors.New("the run is over")

// Ask asks a run and waits for the answer. A question that is refused is a
// RefusedError.
func Ask(ctx context.Context, b Bus, run string, q Question) (event.RequestCompleted, error) {
	var none event.RequestCompleted
	data, err := json.Marshal(q)
	if err != nil {
		return none, err
	}
	// From the beginning: an answer to the same id may be there already.
	facts, err := b.Follow(ctx, bus.Runs, bus.Position{}, wire.PlanFilter(run))
	if err != nil {
		return none, fmt.Errorf("follow run %s: %w", run, err)
	}
	defer facts.Stop()
	if _, err := b.PublishWait(ctx, bus.Outgoing{Subject: "spot.run." + run + ".request.arrived", Data: data}); err != nil {
		return none, fmt.Errorf("ask run %s: %w", run, err)
	}
	for m := range facts.C() {
		ev, err := wire.DecodeMessage(m.Subject, m.Seq, m.Data)
		if err != nil {
			continue // the services have logged it
		}
		switch body := ev.Body.(type) {
		case event.RequestCompleted:
			if body.Name == q.ID {
				return body, nil
			}
		case event.RequestRefused:
			if body.Name == q.ID {
				return none, &RefusedError{body.Reason}
			}
		case event.RequestUnfinished:
			if body.Name == q.ID {
				return none, fmt.Errorf("request %s: %w", q.ID, ErrRunOver)
			}
		case event.RunFinished:
			return none, fmt.Errorf("run %s: %w", run, ErrRunOver)
		}
	}
	return none, errors.Join(facts.Err(), ctx.Err())
}
