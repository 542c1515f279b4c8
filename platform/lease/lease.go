// Package lease lets one of several processes do what one alone should do.
//
// A lease says who is to try, not who is right: a holder that is stopped for a
// while may believe in its lease for as long. What must not be done twice needs
// a fence of its own; the run's stream is that (platform/actor).
//
// The holder renews its lease by putting it anew. Whoever sees the same revision
// for as long as a lease lasts, by its own clock, takes it. Nobody's clock is
// compared with another's.
package lease

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/obs"
)

// Options are the settings of a candidate.
type Options struct {
	Name   string // of the lease: what is done
	Holder string // of this process, for people who look
	Keys   bus.KeyValue
	Log    *slog.Logger
	// TTL is how long a lease lasts without renewal, in wall time. 0:
	// DefaultTTL.
	TTL time.Duration
	// Ready, if set, is called when this process first leads or stands by.
	Ready func()
}

// DefaultTTL bounds how long work rests when its holder dies.
const DefaultTTL = 3 * time.Second

// Hold calls lead each time that this process gets the lease, until the context
// ends or lead returns an error that does not get better by waiting. The context
// of lead ends when the lease is lost. When lead returns, the lease is given back
// at once. A lead that failed because the bus is away (bus.ErrAway) stands by for
// as long as a lease lasts, so that somebody else may try, and tries again.
func Hold(ctx context.Context, o Options, lead func(context.Context) error) error {
	if o.TTL <= 0 {
		o.TTL = DefaultTTL
	}
	if o.Holder == "" {
		return fmt.Errorf("lease %s: the holder has no name, and a lease without one is free", o.Name)
	}
	c := &candidate{Options: o}
	for {
		if err := c.win(ctx); err != nil {
			return err
		}
		o.Log.Info("lease taken", "lease", o.Name, "holder", o.Holder)
		if err := c.hold(ctx, lead); err != nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		o.Log.Warn("lease lost", "lease", o.Name, "holder", o.Holder)
	}
}

type candidate struct {
	Options
	ready    bool
	revision uint64 // of the lease that is held
	renewed  time.Time
	unread   obs.Outage
	resting  obs.Outage
}

// win waits until the lease is this process's. It fails only when the context
// ends, the bus is closed, or this process is not allowed to hold the lease.
func (c *candidate) win(ctx context.Context) error {
	tick := time.NewTicker(c.TTL / 6)
	defer tick.Stop()
	var seen uint64
	var since time.Time
	for {
		began := time.Now()
		value, revision, err := c.Keys.Get(ctx, c.Name)
		if err == nil {
			c.unread.Over(c.Log, "the lease can be read again", "lease", c.Name)
			c.stand()
			if revision != seen || since.IsZero() {
				seen, since = revision, began
			}
			if len(value) == 0 || time.Since(since) >= c.TTL {
				err = c.put(ctx, revision)
				if err == nil {
					return nil
				}
			}
		}
		if errors.Is(err, bus.ErrClosed) || errors.Is(err, bus.ErrDenied) {
			return err
		} else if err != nil && !errors.Is(err, bus.ErrTaken) && ctx.Err() == nil {
			c.unread.Failed(c.Log, "the lease cannot be read", err, "lease", c.Name)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// stand says, the first time, that this process is in its place.
func (c *candidate) stand() {
	if !c.ready && c.Ready != nil {
		c.Ready()
	}
	c.ready = true
}

// put takes or renews the lease. The time of a renewal is the time before it was
// asked for: nobody sees the new revision earlier.
func (c *candidate) put(ctx context.Context, revision uint64) error {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, c.TTL/3)
	defer cancel()
	next, err := c.Keys.Put(ctx, c.Name, []byte(c.Holder), revision)
	if err == nil {
		c.revision, c.renewed = next, began
	}
	return err
}

// hold runs lead while the lease can be renewed.
func (c *candidate) hold(ctx context.Context, lead func(context.Context) error) error {
	leading, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- lead(leading) }()
	tick := time.NewTicker(c.TTL / 3)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			c.giveBack(ctx)
			switch {
			case err == nil || leading.Err() != nil:
			case errors.Is(err, bus.ErrAway):
				c.rest(ctx, err)
			default:
				return fmt.Errorf("while it held the lease %s: %w", c.Name, err)
			}
			return nil
		case <-tick.C:
			err := c.put(ctx, c.revision)
			if err == nil {
				c.resting.Over(c.Log, "the bus answers again", "lease", c.Name)
			}
			// It stops in time for whoever waits for the end of the lease.
			if errors.Is(err, bus.ErrTaken) || err != nil && time.Since(c.renewed) >= c.TTL*2/3 {
				stop()
				return c.lost(<-done)
			}
		}
	}
}

// rest leaves the lease to others for a while.
func (c *candidate) rest(ctx context.Context, why error) {
	c.resting.Failed(c.Log, "the bus does not answer; stand by and try again", why, "lease", c.Name, "in", c.TTL)
	select {
	case <-time.After(c.TTL):
	case <-ctx.Done():
	}
}

// lost is what lead ends with when its lease is gone: whatever it is, the next
// holder goes on.
func (c *candidate) lost(err error) error {
	if err != nil && !errors.Is(err, context.Canceled) {
		c.Log.Debug("the work ends with its lease", "lease", c.Name, "error", err)
	}
	return nil
}

// giveBack frees the lease for the next one. If it cannot, the lease runs out.
func (c *candidate) giveBack(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.TTL/3)
	defer cancel()
	if _, err := c.Keys.Put(ctx, c.Name, nil, c.revision); err != nil && !errors.Is(err, bus.ErrTaken) {
		c.Log.Debug("the lease is not given back and runs out", "lease", c.Name, "error", err)
	}
}
