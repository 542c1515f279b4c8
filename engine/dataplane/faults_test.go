package dataplane_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spotserve/spotserve/engine/dataplane"
)

const header = 24

// faulty puts a proxy before a server that holds one item, and returns a client
// that reaches the server through it.
func faulty(t *testing.T, data []byte, f func(conn int) fault, change ...func(*dataplane.Options)) (*dataplane.Client, *proxy) {
	t.Helper()
	r := newRig(t)
	held := newHolder()
	held.items[weights(0, 0)] = data
	s := r.node("a", append(change, held.provide)...)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if open, _ := held.counts(); open != 0 {
			t.Errorf("%d items were not released", open)
		}
	})
	p := newProxy(t, s.Addr(), f)
	r.publish("a", p.addr())
	return r.client(change...), p
}

func first(f fault) func(int) fault {
	return func(conn int) fault {
		if conn == 0 {
			return f
		}
		return noFault
	}
}

func always(f fault) func(int) fault { return func(int) fault { return f } }

// A fetch whose connection is cut before any byte, or has any bit flipped, in
// either direction, ends with the right bytes.
func TestFetchSurvivesFaultsAtAnyByte(t *testing.T) {
	const frames = 2
	data := pattern(dataplane.ChunkBytes+100, 1)
	down := len(data) + frames*header
	random := rand.New(rand.NewPCG(3, 4))
	var places []int
	for _, border := range []int{header, 2*header + dataplane.ChunkBytes, down} {
		for d := -1; d <= 1; d++ {
			places = append(places, border+d)
		}
	}
	for range 10 {
		places = append(places, random.IntN(down))
	}
	for i := range header {
		places = append(places, i)
	}
	for i := 0; i < header; i += 5 {
		places = append(places, header+dataplane.ChunkBytes+i)
	}
	slices.Sort(places)
	// A flipped length may make the receiver wait for what does not come. A slow
	// machine may miss such a time without any fault, so there are attempts enough.
	short := func(o *dataplane.Options) { o.Timeout, o.Attempts = 500*time.Millisecond, 20 }
	for _, at := range slices.Compact(places) {
		if at < 0 || at >= down {
			continue
		}
		cut, flip, up, upFlip := noFault, noFault, noFault, noFault
		cut.cutDown, flip.flipDown, up.cutUp, upFlip.flipUp = at, at, at%100, at%100
		for name, f := range map[string]fault{"cut": cut, "flip": flip, "cut up": up, "flip up": upFlip} {
			c, p := faulty(t, data, first(f), short)
			dst := make([]byte, len(data))
			var starts []int
			err := c.Resume(t.Context(), "a", &dataplane.Transfer{
				Run: run, Item: weights(0, 0), Dst: dst, Progress: func(n int) { starts = append(starts, n) },
			})
			if err != nil || !bytes.Equal(dst, data) {
				t.Fatalf("%s at byte %d: %v, right bytes: %t", name, at, err, bytes.Equal(dst, data))
			}
			if name == "cut" && p.count() < 2 {
				t.Errorf("cut at byte %d: %d connections, want another one", at, p.count())
			}
			// No chunk was fetched again that had arrived whole.
			if len(starts) != frames || !slices.IsSorted(starts) {
				t.Errorf("%s at byte %d: chunks ended at %v", name, at, starts)
			}
		}
	}
}

// Faults that never end are named, within the attempts.
func TestFetchGivesUp(t *testing.T) {
	data := pattern(2*dataplane.ChunkBytes, 2)
	at := func(f func(*fault)) fault {
		x := noFault
		f(&x)
		return x
	}
	for name, c := range map[string]struct {
		fault fault
		want  error
		done  int
	}{
		"cut in the first chunk":  {at(func(f *fault) { f.cutDown = 5000 }), nil, 0},
		"flip in the first chunk": {at(func(f *fault) { f.flipDown = 5000 }), dataplane.ErrChecksum, 0},
		"flip in a header":        {at(func(f *fault) { f.flipDown = 13 }), dataplane.ErrChecksum, 0},
		"other version":           {at(func(f *fault) { f.flipDown = 3 }), dataplane.ErrVersion, 0},
		"no frame":                {at(func(f *fault) { f.flipDown = 0 }), dataplane.ErrFrame, 0},
		"silence":                 {at(func(f *fault) { f.hangDown = 5000 }), nil, 0},
		"request damaged":         {at(func(f *fault) { f.flipUp = header + 3 }), dataplane.ErrChecksum, 0},
		"request of a version":    {at(func(f *fault) { f.flipUp = 3 }), dataplane.ErrVersion, 0},
	} {
		t.Run(name, func(t *testing.T) {
			client, p := faulty(t, data, always(c.fault), func(o *dataplane.Options) {
				if o.Attempts = 3; c.fault.hangDown >= 0 {
					o.Timeout = 300 * time.Millisecond
				}
			})
			dst := make([]byte, len(data))
			tr := dataplane.Transfer{Run: run, Item: weights(0, 0), Dst: dst}
			err := client.Resume(t.Context(), "a", &tr)
			if err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if want := fmt.Sprintf("%d of %d bytes", c.done, len(data)); tr.Done != c.done || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "layer 0 leaf 0 from a") {
				t.Errorf("%d bytes are there, want %d; the error is %q", tr.Done, c.done, err)
			}
			// A short timeout may pass before a connection is made.
			if n := p.count(); n > 3 || n < 3 && c.fault.hangDown < 0 {
				t.Errorf("%d connections, want 3", n)
			}
		})
	}
}

// A peer that cuts every connection, each time after another chunk, is only slow.
func TestProgressIsEnough(t *testing.T) {
	f := noFault
	f.cutDown = dataplane.ChunkBytes + header + 10
	data := pattern(7*dataplane.ChunkBytes, 3)
	c, p := faulty(t, data, always(f), func(o *dataplane.Options) { o.Attempts = 2 })
	dst := make([]byte, len(data))
	if err := c.Fetch(t.Context(), "a", run, weights(0, 0), dst); err != nil || !bytes.Equal(dst, data) {
		t.Fatal(err)
	}
	if p.count() != 7 {
		t.Errorf("%d connections for 7 chunks", p.count())
	}
}

// What has come from a peer that was lost is not fetched again from the next.
func TestResumeFromAnotherPeer(t *testing.T) {
	data := pattern(4*dataplane.ChunkBytes, 4)
	f := noFault
	f.cutDown = 2*dataplane.ChunkBytes + 20
	r := newRig(t)
	held := newHolder()
	held.items[weights(0, 0)] = data
	p := newProxy(t, r.node("a", held.provide).Addr(), func(conn int) fault {
		if conn > 0 {
			return fault{0, 0, -1, -1, -1}
		}
		return f
	})
	r.publish("a", p.addr())
	r.node("b", held.provide)
	c := r.client(func(o *dataplane.Options) { o.Attempts = 2 })
	tr := dataplane.Transfer{Run: run, Item: weights(0, 0), Dst: make([]byte, len(data))}
	if err := c.Resume(t.Context(), "a", &tr); err == nil {
		t.Fatal("a peer that is gone sent everything")
	}
	if tr.Done != dataplane.ChunkBytes {
		t.Fatalf("%d bytes came, want one chunk", tr.Done)
	}
	var got []int
	tr.Progress = func(n int) { got = append(got, n) }
	if err := c.Resume(t.Context(), "b", &tr); err != nil || !bytes.Equal(tr.Dst, data) {
		t.Fatal(err)
	}
	if len(got) != 3 {
		t.Errorf("the second peer sent %d chunks, want 3", len(got))
	}
}

// A peer that starts again in mid-transfer, at another address, is found there.
func TestPeerThatRestarts(t *testing.T) {
	data := pattern(5*dataplane.ChunkBytes, 5)
	r := newRig(t)
	held := newHolder()
	held.items[weights(0, 0)] = data
	before := r.node("a", held.provide)
	c := r.client()
	restart := sync.OnceFunc(func() {
		if err := before.Close(); err != nil {
			t.Error(err)
		}
		r.node("a", held.provide)
	})
	dst := make([]byte, len(data))
	err := c.Resume(t.Context(), "a", &dataplane.Transfer{Run: run, Item: weights(0, 0), Dst: dst, Progress: func(int) { restart() }})
	if err != nil || !bytes.Equal(dst, data) {
		t.Fatal(err)
	}
	// Idle connections to the process before are no reason to fail either.
	if err := c.Fetch(t.Context(), "a", run, weights(0, 0), dst); err != nil {
		t.Fatal(err)
	}
}

func TestIdleConnectionsOfARestartedPeer(t *testing.T) {
	r := newRig(t)
	held := newHolder()
	held.items[weights(0, 0)] = pattern(10, 1)
	s := r.node("a", held.provide)
	c := r.client(func(o *dataplane.Options) { o.Attempts = 1 })
	dst := make([]byte, 10)
	var wg sync.WaitGroup
	for range 4 { // several idle connections
		wg.Go(func() { _ = c.Fetch(t.Context(), "a", run, weights(0, 0), make([]byte, 10)) })
	}
	wg.Wait()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	r.node("a", held.provide)
	if err := c.Fetch(t.Context(), "a", run, weights(0, 0), dst); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Held(t.Context(), "a", run, []dataplane.Item{weights(0, 0)}); err != nil {
		t.Fatal(err)
	}
}

// A peer that cannot be reached, or whose address is another's, is named.
func TestUnreachable(t *testing.T) {
	r := newRig(t)
	c := r.client(func(o *dataplane.Options) { o.Attempts, o.Timeout = 2, 300*time.Millisecond })
	dst := make([]byte, 4)
	if err := c.Fetch(t.Context(), "nobody", run, weights(0, 0), dst); err == nil || !strings.Contains(err.Error(), "no address of nobody") {
		t.Errorf("got %v", err)
	}
	if n := r.resolved(); n != 2 {
		t.Errorf("the address was asked for %d times, want 2", n)
	}
	s := r.node("b")
	r.publish("a", s.Addr())
	if err := c.Fetch(t.Context(), "a", run, weights(0, 0), dst); !errors.Is(err, dataplane.ErrWrongNode) {
		t.Errorf("got %v, want ErrWrongNode", err)
	}
	if _, err := c.Held(t.Context(), "a", run, []dataplane.Item{weights(0, 0)}); !errors.Is(err, dataplane.ErrWrongNode) {
		t.Errorf("got %v, want ErrWrongNode", err)
	}
	// The right one is found as soon as the address is.
	held := newHolder()
	held.items[weights(0, 0)] = []byte("abcd")
	r.node("a", held.provide)
	if err := c.Fetch(t.Context(), "a", run, weights(0, 0), dst); err != nil || string(dst) != "abcd" {
		t.Error(err)
	}
}

func TestSilentPeer(t *testing.T) {
	r := newRig(t)
	c := r.client(func(o *dataplane.Options) { o.Attempts, o.Timeout = 2, 100*time.Millisecond })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r.publish("a", l.Addr().String())
	if err := c.Fetch(t.Context(), "a", run, weights(0, 0), make([]byte, 4)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v, want that nothing came in time", err)
	}
}

func TestFetchIsCancelled(t *testing.T) {
	f := noFault
	f.hangDown = header + 2
	c, _ := faulty(t, pattern(10, 1), always(f), func(o *dataplane.Options) { o.Timeout = time.Minute; o.Streams = 1 })
	ctx, cancel := context.WithCancelCause(t.Context())
	var wg sync.WaitGroup
	for range 3 { // one has the connection, the others wait for it
		wg.Go(func() {
			if err := c.Fetch(ctx, "a", run, weights(0, 0), make([]byte, 10)); !errors.Is(err, errEnough) {
				t.Errorf("got %v, want the cause", err)
			}
		})
	}
	time.AfterFunc(50*time.Millisecond, func() { cancel(errEnough) })
	wg.Wait()
	wg.Go(func() {
		if err := c.Fetch(t.Context(), "a", run, weights(0, 0), make([]byte, 10)); !errors.Is(err, dataplane.ErrClosed) {
			t.Errorf("got %v, want ErrClosed", err)
		}
	})
	time.AfterFunc(50*time.Millisecond, func() { _ = c.Close() })
	wg.Wait()
}
