package dataplane_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/engine/dataplane"
)

// pair is two nodes of one device each, in one pipeline.
func pair(t *testing.T, change ...func(*dataplane.Options)) (a, b *dataplane.Mesh, pa, pb dataplane.Peer) {
	t.Helper()
	peers := placed(2, 1)
	meshes := newRig(t).meshes(peers, change...)
	return meshes["n0"], meshes["n1"], peers[0], peers[1]
}

func send(t *testing.T, m *dataplane.Mesh, device int, to dataplane.Peer, s dataplane.Step, tag dataplane.Tag, head string, rows ...float32) {
	t.Helper()
	if err := m.Send(t.Context(), device, to, s, tag, []byte(head), rows); err != nil {
		t.Fatal(err)
	}
}

func accept(t *testing.T, m *dataplane.Mesh, device int) *dataplane.Message {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	msg, err := m.Accept(ctx, device)
	if err != nil {
		t.Fatal(err)
	}
	return msg
}

func TestWorkAndAnswers(t *testing.T) {
	for _, devices := range []int{1, 2} { // in two processes, in one
		r := newRig(t)
		peers := placed(2, devices)
		meshes := r.meshes(peers)
		a, b := meshes[peers[0].Node], meshes[peers[1].Node]
		rows := vectors(rand.New(rand.NewPCG(1, 2)), 1, 70_000)[0]
		for n := range uint64(3) {
			s := dataplane.Step{Group: 5, Number: n + 7}
			sent := slices.Clone(rows)
			if err := a.Send(t.Context(), peers[0].Device, peers[1], s, dataplane.Work, []byte("abc"), sent); err != nil {
				t.Fatal(err)
			}
			clear(sent) // the sender's memory is its own again
			m := accept(t, b, peers[1].Device)
			if m.From != peers[0] || m.Step != s || m.Tag != dataplane.Work || string(m.Head) != "abc" || !sameBits(m.Rows, rows) {
				t.Fatalf("got %s %s tag %d %q, %d rows", m.From, m.Step, m.Tag, m.Head, len(m.Rows))
			}
			m.Release()
			send(t, b, peers[1].Device, peers[0], s, dataplane.Answer, "")
			m, err := a.Recv(t.Context(), peers[0].Device, peers[1], s, dataplane.Answer)
			if err != nil || len(m.Head) != 0 || len(m.Rows) != 0 {
				t.Fatal(m, err)
			}
		}
	}
}

// Messages of several groups are received in any order, each by its name.
func TestReceiveByName(t *testing.T) {
	a, b, pa, pb := pair(t)
	for g := range 4 {
		send(t, a, 0, pb, dataplane.Step{Group: g, Number: 1}, dataplane.Answer, fmt.Sprint(g))
	}
	for g := 3; g >= 0; g-- {
		m, err := b.Recv(t.Context(), 0, pa, dataplane.Step{Group: g, Number: 1}, dataplane.Answer)
		if err != nil || string(m.Head) != fmt.Sprint(g) {
			t.Fatalf("group %d: %v, %v", g, m, err)
		}
	}
}

// What nobody waits for is dropped when its group moves on, and the memory with it.
func TestOldStepsAreDropped(t *testing.T) {
	big := make([]float32, 100_000)
	a, b, pa, pb := pair(t, func(o *dataplane.Options) { o.InboxBytes = 2_000_000 })
	// Each step leaves an answer and work behind; four of them, in buffers of 512 KiB,
	// would not fit.
	for n := range uint64(20) {
		if err := a.Send(t.Context(), 0, pb, step(n), dataplane.Work, nil, big); err != nil {
			t.Fatal(err)
		}
		if err := a.Send(t.Context(), 0, pb, step(n), dataplane.Answer, nil, big); err != nil {
			t.Fatal(err)
		}
		m := accept(t, b, 0)
		if m.Step.Number != n {
			t.Fatalf("accepted step %d, want %d", m.Step.Number, n)
		}
		m.Release()
	}
	// Who still waits for an old step is told; so is who begins one.
	send(t, a, 0, pb, step(30), dataplane.Work, "")
	accept(t, b, 0)
	if _, err := b.Recv(t.Context(), 0, pa, step(29), dataplane.Answer); !errors.Is(err, dataplane.ErrAborted) {
		t.Errorf("an old step: %v", err)
	}
	waiting := make(chan error)
	go func() {
		_, err := b.Recv(t.Context(), 0, pa, step(30), dataplane.Answer)
		waiting <- err
	}()
	send(t, a, 0, pb, step(31), dataplane.Work, "")
	accept(t, b, 0)
	if err := <-waiting; !errors.Is(err, dataplane.ErrAborted) || !strings.Contains(err.Error(), "31") {
		t.Errorf("who waited: %v", err)
	}
}

// A peer that leaves too much waiting is cut off, and its steps with it.
func TestInboxIsBounded(t *testing.T) {
	a, b, _, pb := pair(t, func(o *dataplane.Options) { o.InboxBytes = 1 << 20 })
	big := make([]float32, 1<<16)
	var err error
	for g := 0; g < 4000 && err == nil; g++ {
		err = a.Send(t.Context(), 0, pb, dataplane.Step{Group: g, Number: 1}, dataplane.Answer, nil, big)
	}
	if err == nil {
		t.Fatal("a gigabyte waits in a megabyte")
	}
	if !errors.Is(err, dataplane.ErrPeer) && !errors.Is(err, dataplane.ErrAborted) {
		t.Errorf("got %v", err)
	}
	// What was left waiting is given up with its steps, so that later ones find room.
	for n := uint64(1); ; n++ {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		err := a.Send(ctx, 0, pb, dataplane.Step{Group: 4001, Number: n}, dataplane.Work, nil, nil)
		if err == nil {
			_, err = b.Accept(ctx, 0)
		}
		cancel()
		if err == nil {
			break
		}
		if n == 100 {
			t.Fatalf("there is no room after what overflowed was given up: %v", err)
		}
	}
	if err := b.Send(t.Context(), 0, pb, step(2), dataplane.Answer, nil, make([]float32, 1<<19)); !errors.Is(err, dataplane.ErrOverflow) {
		t.Errorf("to a device of the same node: %v", err)
	}
}

func TestMessagesOfWrongLength(t *testing.T) {
	a, b, _, pb := pair(t, func(o *dataplane.Options) { o.MaxMessage = 4096 })
	if err := a.Send(t.Context(), 0, pb, step(1), dataplane.Work, []byte{1}, make([]float32, 1024)); !errors.Is(err, dataplane.ErrLength) {
		t.Errorf("got %v", err)
	}
	if err := a.Send(t.Context(), 0, pb, step(1), dataplane.Work, nil, make([]float32, 1024)); err != nil {
		t.Error(err)
	}
	if m := accept(t, b, 0); len(m.Rows) != 1024 {
		t.Errorf("%d rows", len(m.Rows))
	}
	if err := a.Send(t.Context(), 0, pb, step(1), 3, nil, nil); !errors.Is(err, dataplane.ErrFrame) {
		t.Errorf("a tag of sums: %v", err)
	}
	if _, err := a.Recv(t.Context(), 0, pb, step(1), dataplane.Work); !errors.Is(err, dataplane.ErrFrame) {
		t.Errorf("work by name: %v", err)
	}
}

// Steps of another epoch are refused: of one that is over, and of one that does not
// begin. One that begins soon is waited for.
func TestEpochs(t *testing.T) {
	r := newRig(t)
	peers := placed(2, 1)
	sa := r.node("n0")
	sb := r.node("n1", func(o *dataplane.Options) { o.Timeout = time.Second })
	first, second, third := event.Epoch{Term: 1, N: 1}, event.Epoch{Term: 1, N: 2}, event.Epoch{Term: 2}
	a1, b1 := r.join(sa, first, peers), r.join(sb, first, peers)
	send(t, a1, 0, peers[1], step(1), dataplane.Work, "first")
	accept(t, b1, 0)

	// b is in two epochs at once: a pipeline goes on while another one starts.
	b2 := r.join(sb, second, peers)
	a2 := r.join(sa, second, peers)
	send(t, a2, 0, peers[1], step(1), dataplane.Work, "second")
	send(t, a1, 0, peers[1], step(2), dataplane.Work, "still first")
	if m := accept(t, b2, 0); string(m.Head) != "second" {
		t.Errorf("got %q", m.Head)
	}
	if m := accept(t, b1, 0); string(m.Head) != "still first" {
		t.Errorf("got %q", m.Head)
	}

	// The first one is over at b: a, which waits in it, learns of it, and then that it
	// is the epoch.
	waiting := make(chan error)
	go func() {
		_, err := a1.Recv(t.Context(), 0, peers[1], step(2), dataplane.Answer)
		waiting <- err
	}()
	b1.Close()
	if err := <-waiting; !errors.Is(err, dataplane.ErrPeer) {
		t.Errorf("who waited in an epoch that ended: %v", err)
	}
	if err := a1.Send(t.Context(), 0, peers[1], step(3), dataplane.Work, nil, nil); !errors.Is(err, dataplane.ErrEpoch) || !strings.Contains(err.Error(), "1.1 of run e2e-1 is over, the newest is 1.2") {
		t.Errorf("sent in an epoch that is over: %v", err)
	}
	if err := b1.Send(t.Context(), 0, peers[0], step(3), dataplane.Work, nil, nil); !errors.Is(err, dataplane.ErrClosed) {
		t.Errorf("sent in a closed mesh: %v", err)
	}

	// a is ahead of b.
	a3 := r.join(sa, third, peers)
	if err := a3.Send(t.Context(), 0, peers[1], step(1), dataplane.Work, nil, nil); !errors.Is(err, dataplane.ErrEpoch) || !strings.Contains(err.Error(), "has not begun") {
		t.Errorf("sent in an epoch that does not begin: %v", err)
	}
	sent := make(chan error)
	go func() { sent <- a3.Send(t.Context(), 0, peers[1], step(2), dataplane.Work, []byte("third"), nil) }()
	time.AfterFunc(30*time.Millisecond, func() {
		if m := accept(t, r.join(sb, third, peers), 0); string(m.Head) != "third" {
			t.Errorf("got %q", m.Head)
		}
		sent <- nil
	})
	if err := errors.Join(<-sent, <-sent); err != nil {
		t.Errorf("sent in an epoch that begins: %v", err)
	}

	if _, err := sb.Join(run, second, map[int][]dataplane.Peer{0: peers}); !errors.Is(err, dataplane.ErrEpoch) {
		t.Errorf("an epoch twice: %v", err)
	}
	if _, err := sb.Join(run, event.Epoch{Term: 1, N: 9}, nil); !errors.Is(err, dataplane.ErrEpoch) {
		t.Errorf("an old epoch: %v", err)
	}
	if _, err := sb.Join("other", first, map[int][]dataplane.Peer{0: peers[:1]}); err == nil {
		t.Error("joined a pipeline without devices")
	}
	if m, err := sb.Join("other", first, nil); err != nil {
		t.Errorf("another run has epochs of its own: %v", err)
	} else {
		m.Close()
		m.Close()
	}
}

// Who gives a step up has all devices of its pipeline give it up; other groups go
// on, and so does the next step.
func TestAbort(t *testing.T) {
	r := newRig(t)
	peers := placed(4, 2)
	meshes := r.meshes(peers)
	other := dataplane.Step{Group: 1, Number: 9}
	errs := together(4, func(rank int) error {
		m, me := meshes[peers[rank].Node], peers[rank].Device
		if rank == 3 {
			return m.Abort(me, step(4), errors.New("cache full"))
		}
		_, err := m.Recv(t.Context(), me, peers[3], step(4), dataplane.Answer)
		return err
	})
	for rank, err := range errs[:3] {
		if !errors.Is(err, dataplane.ErrAborted) || !strings.Contains(err.Error(), "n1:1") || !strings.Contains(err.Error(), "cache full") {
			t.Errorf("rank %d: %v", rank, err)
		}
	}
	if errs[3] != nil {
		t.Error(errs[3])
	}
	m := meshes["n0"]
	if err := m.Send(t.Context(), 0, peers[2], step(4), dataplane.Answer, nil, nil); !errors.Is(err, dataplane.ErrAborted) {
		t.Errorf("sent in a step that was given up: %v", err)
	}
	if _, err := m.Comm(peers[:2], 0, step(4)); !errors.Is(err, dataplane.ErrAborted) {
		t.Errorf("a sum in a step that was given up: %v", err)
	}
	for _, s := range []dataplane.Step{other, step(5)} {
		send(t, m, 0, peers[3], s, dataplane.Work, "")
		if got := accept(t, meshes["n1"], 1); got.Step != s {
			t.Errorf("got %s, want %s", got.Step, s)
		}
	}
	if err := m.Abort(0, dataplane.Step{Pipeline: 3}, errEnough); err == nil {
		t.Error("a pipeline that is not there was given up")
	}
}

// A device that dies has all others of its pipeline give their steps up: those that
// wait for it, and those that wait for somebody who does.
func TestLostPeer(t *testing.T) {
	r := newRig(t)
	peers := placed(4, 1)
	servers := map[string]*dataplane.Server{}
	var meshes []*dataplane.Mesh
	for _, p := range peers {
		servers[p.Node] = r.node(p.Node)
		meshes = append(meshes, r.join(servers[p.Node], epoch, peers))
	}
	// A chain of work: 0 to 1 to 2, which dies; 3 would have been next, 0 waits for
	// its answer.
	send(t, meshes[0], 0, peers[1], step(1), dataplane.Work, "")
	accept(t, meshes[1], 0)
	send(t, meshes[1], 0, peers[2], step(1), dataplane.Work, "")
	accept(t, meshes[2], 0)
	answer := make(chan error)
	go func() {
		_, err := meshes[0].Recv(t.Context(), 0, peers[3], step(1), dataplane.Answer)
		answer <- err
	}()
	if err := servers["n2"].Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-answer; !errors.Is(err, dataplane.ErrAborted) || !strings.Contains(err.Error(), "n2:0") {
		t.Errorf("the leader: %v", err)
	}
	// It comes back with the same epoch, at another address.
	meshes[2] = r.join(r.node("n2"), epoch, peers)
	send(t, meshes[1], 0, peers[2], step(2), dataplane.Work, "again")
	if m := accept(t, meshes[2], 0); string(m.Head) != "again" {
		t.Errorf("got %q", m.Head)
	}
}

// A peer whose machine hangs, so that no connection ends, is given up after the timeout.
func TestHalfOpenLink(t *testing.T) {
	r := newRig(t)
	peers := placed(2, 1)
	quick := func(o *dataplane.Options) { o.Timeout = 300 * time.Millisecond }
	sa, sb := r.node("n0", quick), r.node("n1", quick)
	a, b := r.join(sa, epoch, peers), r.join(sb, epoch, peers)
	p := newProxy(t, sa.Addr(), always(noFault))
	r.publish("n0", p.addr())
	send(t, b, 0, peers[0], step(1), dataplane.Work, "")
	accept(t, a, 0)
	// Pings keep an idle link: it outlives some timeouts.
	time.AfterFunc(time.Second, p.hang)
	start := time.Now()
	_, err := a.Recv(t.Context(), 0, peers[1], step(1), dataplane.Answer)
	if !errors.Is(err, dataplane.ErrPeer) {
		t.Fatalf("got %v", err)
	}
	if time.Since(start) < time.Second {
		t.Errorf("the link was given up while it was good: %v", err)
	}
	if p.count() != 1 {
		t.Errorf("%d connections, want 1", p.count())
	}
}

func TestMeshIsCancelledAndClosed(t *testing.T) {
	a, _, _, pb := pair(t)
	ctx, cancel := contextWithCause(t)
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := a.Recv(ctx, 0, pb, step(1), dataplane.Answer); !errors.Is(err, errEnough) {
			t.Errorf("received: %v", err)
		}
	})
	wg.Go(func() {
		if _, err := a.Accept(ctx, 0); !errors.Is(err, errEnough) {
			t.Errorf("accepted: %v", err)
		}
	})
	time.AfterFunc(20*time.Millisecond, func() { cancel(errEnough) })
	wg.Wait()
	if err := a.Send(ctx, 0, pb, step(1), dataplane.Work, nil, nil); !errors.Is(err, errEnough) {
		t.Errorf("sent: %v", err)
	}
	for range 2 {
		wg.Go(func() {
			if _, err := a.Accept(t.Context(), 0); !errors.Is(err, dataplane.ErrClosed) {
				t.Errorf("accepted: %v", err)
			}
		})
	}
	wg.Go(func() {
		if _, err := a.Recv(t.Context(), 0, pb, step(2), dataplane.Answer); !errors.Is(err, dataplane.ErrClosed) {
			t.Errorf("received: %v", err)
		}
	})
	time.AfterFunc(20*time.Millisecond, a.Close)
	wg.Wait()
}

// Steps over links that are cut, and whose bits flip, end with the right sums or
// with an error on every rank; a repetition under another number ends well once
// the faults are over.
func TestStepsUnderFaults(t *testing.T) {
	const ranks = 4
	random := rand.New(rand.NewPCG(5, 6))
	for range 12 {
		r := newRig(t)
		peers := placed(ranks, 1)
		quick := func(o *dataplane.Options) { o.Timeout = 400 * time.Millisecond }
		meshes := make([]*dataplane.Mesh, ranks)
		for i, p := range peers {
			s := r.node(p.Node, quick)
			meshes[i] = r.join(s, epoch, peers)
			faults := make([]fault, 6)
			for k := range faults {
				faults[k] = noFault
				switch at := random.IntN(250_000); random.IntN(4) {
				case 0:
					faults[k].cutUp = at
				case 1:
					faults[k].flipUp = at
				case 2:
					faults[k].cutUp = random.IntN(200)
				}
			}
			r.publish(p.Node, newProxy(t, s.Addr(), func(conn int) fault {
				if conn < len(faults) {
					return faults[conn]
				}
				return noFault
			}).addr())
		}
		var failed, done int
		for n := uint64(1); done < 3; n++ {
			if n > 60 {
				t.Fatal("no step ends well")
			}
			small, large := vectors(random, ranks, 700), vectors(random, ranks, 30_000)
			wantSmall, wantLarge := tree(small), tree(large)
			errs := together(ranks, func(rank int) error {
				m := meshes[rank]
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				c, err := m.Comm(peers, rank, step(n))
				if err == nil {
					err = c.Sum(ctx, small[rank])
				}
				if err == nil {
					err = c.Sum(ctx, large[rank])
				}
				if err != nil {
					if ctx.Err() != nil {
						t.Errorf("rank %d waited in step %d: %v", rank, n, err)
					}
					_ = m.Abort(0, step(n), err)
					return err
				}
				if !sameBits(small[rank], wantSmall) || !sameBits(large[rank], wantLarge) {
					t.Errorf("step %d, rank %d: other bits", n, rank)
				}
				return nil
			})
			if errors.Join(errs...) != nil {
				failed++
				continue
			}
			done++
		}
		if failed > 0 {
			t.Logf("%d steps failed before three were done", failed)
		}
	}
}
