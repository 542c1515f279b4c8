package lease_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/bus/membus"
	"github.com/spotserve/spotserve/platform/lease"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// diary notes who leads when, in seconds since the bubble's start.
type diary struct {
	mu      sync.Mutex
	began   time.Time
	entries []string
	leading int
	most    int // leaders at one time
}

func (d *diary) lead(name string) func(context.Context) error {
	return func(ctx context.Context) error {
		d.note(name+" leads", 1)
		<-ctx.Done()
		d.note(name+" stops", -1)
		return nil
	}
}

func (d *diary) note(what string, leaders int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.leading += leaders
	d.most = max(d.most, d.leading)
	d.entries = append(d.entries, fmt.Sprintf("%.1f %s", time.Since(d.began).Seconds(), what))
}

func options(b bus.KeyValue, name string) lease.Options {
	return lease.Options{Name: "planner", Holder: name, Keys: b, Log: slog.New(slog.DiscardHandler)}
}

// cutOff is a bus that can be taken away from one candidate.
type cutOff struct {
	bus.KeyValue
	mu  sync.Mutex
	cut bool
}

func (c *cutOff) Get(ctx context.Context, key string) ([]byte, uint64, error) {
	if err := c.away(); err != nil {
		return nil, 0, err
	}
	return c.KeyValue.Get(ctx, key)
}

func (c *cutOff) Put(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	if err := c.away(); err != nil {
		return 0, err
	}
	return c.KeyValue.Put(ctx, key, value, revision)
}

func (c *cutOff) away() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut {
		return errors.New("no connection")
	}
	return nil
}

func (c *cutOff) set(cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = cut
}

// TestOneLeads: the second waits, and takes over at once when the first gives
// back, and after the lease's time when the first is cut off. Who is cut off
// stops by itself before the other begins.
func TestOneLeads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := membus.New(membus.Options{})
		defer b.Close()
		d := &diary{began: time.Now()}
		first := &cutOff{KeyValue: b}
		one, stopOne := context.WithCancel(t.Context())
		two, stopTwo := context.WithCancel(t.Context())
		var ended sync.WaitGroup
		hold := func(ctx context.Context, keys bus.KeyValue, name string) {
			ended.Go(func() {
				if err := lease.Hold(ctx, options(keys, name), d.lead(name)); !errors.Is(err, context.Canceled) {
					t.Errorf("%s ends with %v", name, err)
				}
			})
		}
		hold(one, first, "one")
		time.Sleep(300 * time.Millisecond) // so that no two things happen at one instant
		hold(two, b, "two")
		time.Sleep(10 * time.Second)
		first.set(true)
		time.Sleep(10 * time.Second)
		first.set(false)
		time.Sleep(10 * time.Second)
		stopTwo()
		time.Sleep(10 * time.Second)
		stopOne()
		ended.Wait()
		want := []string{"0.0 one leads", "12.0 one stops", "13.3 two leads", "30.3 two stops", "30.5 one leads", "40.3 one stops"}
		if !slices.Equal(d.entries, want) {
			t.Errorf("%q, want %q", d.entries, want)
		}
		if d.most != 1 {
			t.Errorf("%d lead at one time", d.most)
		}
	})
}

// TestAnErrorEndsTheWork, and the lease is free.
func TestAnErrorEndsTheWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := membus.New(membus.Options{})
		defer b.Close()
		broken := errors.New("broken")
		err := lease.Hold(t.Context(), options(b, "one"), func(context.Context) error { return broken })
		if !errors.Is(err, broken) {
			t.Errorf("it ends with %v", err)
		}
		if value, _, err := b.Get(t.Context(), "planner"); len(value) > 0 || err != nil {
			t.Errorf("the lease is still %q's, %v", value, err)
		}
	})
}

// TestABusThatIsAway ends the work and not the process: the lease goes to whoever
// else wants it, and comes back when it is free again.
func TestABusThatIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := membus.New(membus.Options{})
		defer b.Close()
		d := &diary{began: time.Now()}
		two, stopTwo := context.WithCancel(t.Context())
		one, stopOne := context.WithCancel(t.Context())
		var ended sync.WaitGroup
		hold := func(ctx context.Context, name string, lead func(context.Context) error) {
			ended.Go(func() {
				if err := lease.Hold(ctx, options(b, name), lead); !errors.Is(err, context.Canceled) {
					t.Errorf("%s ends with %v", name, err)
				}
			})
		}
		attempts := 0
		hold(one, "one", func(ctx context.Context) error {
			if attempts++; attempts < 3 {
				d.note("one fails", 0)
				return fmt.Errorf("follow: %w", bus.ErrAway)
			}
			return d.lead("one")(ctx)
		})
		time.Sleep(3700 * time.Millisecond)
		hold(two, "two", d.lead("two"))
		time.Sleep(10 * time.Second)
		stopTwo()
		time.Sleep(10 * time.Second)
		stopOne()
		ended.Wait()
		want := []string{"0.0 one fails", "3.0 one fails", "3.7 two leads", "13.7 two stops", "14.0 one leads", "23.7 one stops"}
		if !slices.Equal(d.entries, want) {
			t.Errorf("%q, want %q", d.entries, want)
		}
	})
}

// TestItEndsWithTheBus.
func TestItEndsWithTheBus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := membus.New(membus.Options{})
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		if err := lease.Hold(t.Context(), options(b, "one"), nil); !errors.Is(err, bus.ErrClosed) {
			t.Errorf("it ends with %v", err)
		}
	})
}

// forbidden are keys that the bus does not let this process write.
type forbidden struct{ bus.KeyValue }

func (forbidden) Put(context.Context, string, []byte, uint64) (uint64, error) {
	return 0, fmt.Errorf("put: %w", bus.ErrDenied)
}

// TestWhoMayNotHoldDoesNotWait: a lease that is not allowed is no lease that
// somebody else holds.
func TestWhoMayNotHoldDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := membus.New(membus.Options{})
		defer b.Close()
		err := lease.Hold(t.Context(), options(forbidden{b}, "a"), func(context.Context) error {
			t.Error("it leads")
			return nil
		})
		if !errors.Is(err, bus.ErrDenied) {
			t.Errorf("it ends with %v", err)
		}
	})
}
