// Package rollcall finds out which services are there.
//
// The streams outlive processes, so a registration would tell of the dead. A
// roll call asks, and only who lives answers.
package rollcall

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/control"
	"github.com/spotserve/spotserve/platform/version"
	"github.com/spotserve/spotserve/platform/wire"
)

// Bus is the part of a bus that a roll call takes.
type Bus interface {
	bus.Publisher
	bus.Follower
}

// Answer says who is here to every roll call, until the context ends. ready is
// called when no call can be missed any more. While the bus is away nobody hears
// an answer; then it goes on, and ready is called again.
func Answer(ctx context.Context, b Bus, who event.ServicePresent, ready func()) error {
	quiet := slog.New(slog.DiscardHandler) // the bus itself says that it is away
	return bus.Insist(ctx, quiet, func(ctx context.Context) error { return answer(ctx, b, who, ready) })
}

func answer(ctx context.Context, b Bus, who event.ServicePresent, ready func()) error {
	sub, err := b.Follow(ctx, bus.Control, bus.Position{New: true}, wire.SubjectRollCalled)
	if err != nil {
		return fmt.Errorf("follow roll calls: %w", err)
	}
	defer sub.Stop()
	ready()
	for m := range sub.C() {
		call, err := wire.DecodeControl(m.Subject, m.Data)
		called, ok := call.(event.RollCalled)
		if err != nil || !ok {
			continue // somebody else's mistake; there is nobody to answer
		}
		for _, m := range answers(called, who) {
			if _, err := b.PublishWait(ctx, m); err != nil {
				return err
			}
		}
	}
	return sub.Err()
}

// answers are what who says to a call: one answer for each node on the node's own
// subject, or one for all where a caller of version 1 listens.
func answers(call event.RollCalled, who event.ServicePresent) (out []bus.Outgoing) {
	who.Call, who.Schema, who.Build = call.Call, event.SchemaVersion, version.Of().String()
	who.WallClock = time.Now().UnixNano()
	add := func(who event.ServicePresent, subject string) {
		data, err := wire.EncodeControl(who)
		if err == nil { // else it has no name to answer under
			out = append(out, bus.Outgoing{Subject: subject, Data: data})
		}
	}
	if call.Schema < 2 {
		add(who, wire.SubjectPresent)
		return out
	}
	each := []event.ServicePresent{who}
	if len(who.Nodes) > 0 {
		each = nil
		for _, node := range who.Nodes {
			one := who
			one.Nodes = []string{node}
			each = append(each, one)
		}
	}
	for _, one := range each {
		if subject, err := wire.ControlSubject(one); err == nil {
			add(one, subject)
		}
	}
	return out
}

// Call asks who is here, every half a second, and collects answers until enough
// says so or wait, in wall time, is over. An error says nothing about who is here; a bus on which the
// question cannot be asked within the wait is away (bus.ErrAway).
func Call(caller context.Context, b Bus, wait time.Duration, enough func([]event.ServicePresent) bool) ([]event.ServicePresent, error) {
	ctx, cancel := context.WithTimeout(caller, wait)
	defer cancel()
	sub, err := b.Follow(ctx, bus.Control, bus.Position{New: true}, wire.SubjectPresent, wire.PresentFilter)
	if err != nil {
		return nil, fmt.Errorf("follow answers to the roll call: %w", unasked(caller, err))
	}
	defer sub.Stop()
	call := event.RollCalled{Call: rand.Text(), Schema: event.SchemaVersion}
	again := time.NewTicker(repeat)
	defer again.Stop()
	if _, err := control.Publish(ctx, b, call); err != nil {
		return nil, unasked(caller, err)
	}
	present := make(map[string]event.ServicePresent)
	for {
		select {
		case m, ok := <-sub.C():
			if !ok {
				return values(present), errors.Join(sub.Err(), caller.Err())
			}
			answer, err := wire.DecodeControl(m.Subject, m.Data)
			who, ok := answer.(event.ServicePresent)
			if err != nil || !ok || who.Call != call.Call {
				continue
			}
			present[fmt.Sprint(who.Service, who.Nodes, who.Schema, who.Build)] = who
			if enough(values(present)) {
				return values(present), nil
			}
		case <-again.C:
			// A service that was just starting hears the next call.
			if _, err := control.Publish(ctx, b, call); err != nil && ctx.Err() == nil {
				return nil, err
			}
		}
	}
}

// unasked is the error of a question whose wait, not the caller's, is over.
func unasked(caller context.Context, err error) error {
	if caller.Err() == nil && errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, bus.ErrAway) {
		return fmt.Errorf("%w: the roll cannot be called: %w", bus.ErrAway, err)
	}
	return err
}

// repeat is the pause between calls, in wall time.
const repeat = 500 * time.Millisecond

// values lists the services that answered, each once, builds apart, in the order of
// their names.
func values(present map[string]event.ServicePresent) (out []event.ServicePresent) {
	for _, name := range slices.Sorted(maps.Keys(present)) {
		out = append(out, present[name])
	}
	return out
}
