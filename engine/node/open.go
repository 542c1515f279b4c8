package node

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/spotserve/spotserve/core/engineop"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/engine/dataplane"
)

// The pauses between attempts to reach a peer.
const (
	firstPause = 20 * time.Millisecond
	lastPause  = time.Second
)

// open waits until the pipeline's part of every node is ready, and says so with
// the cache that all of them have.
func (l *line) open() {
	others := l.representatives()
	answers := make([][]landed, len(others))
	var asking sync.WaitGroup
	for i, to := range others {
		asking.Go(func() { answers[i] = l.ask(to) })
	}
	asking.Wait()
	if l.ctx.Err() != nil {
		return
	}
	least := make(map[uint64]int)
	for _, x := range l.cached {
		least[x.id] = x.tokens
	}
	for _, a := range answers {
		theirs := make(map[uint64]int)
		for _, x := range a {
			theirs[x.id] = x.tokens
		}
		for id := range least {
			least[id] = min(least[id], theirs[id])
		}
	}
	fact := engineop.CacheLanded{Epoch: l.epoch, Pipeline: l.index}
	for id, tokens := range least {
		if tokens > 0 {
			fact.Cached = append(fact.Cached, engineop.Cached{Request: event.RequestID(id), Tokens: tokens})
		}
	}
	slices.SortFunc(fact.Cached, func(a, b engineop.Cached) int { return cmp.Compare(a.Request, b.Request) })
	l.node.emit(fact)
}

// representatives are the first devices of the other nodes.
func (l *line) representatives() (out []dataplane.Peer) {
	for _, p := range l.devices {
		seen := slices.ContainsFunc(out, func(o dataplane.Peer) bool { return o.Node == p.Node })
		if p.Node != l.node.Name && !seen {
			out = append(out, p)
		}
	}
	return out
}

// ask asks a node for its cache until it answers, which it does when it is ready.
func (l *line) ask(to dataplane.Peer) []landed {
	pause := firstPause
	for number := uint64(1); ; number++ {
		all, err := l.askOnce(to, dataplane.Step{Pipeline: l.index, Group: askGroup, Number: number})
		if err == nil {
			return all
		}
		l.node.log.Debug("ask again whether a node is ready", "epoch", l.epoch, "pipeline", l.index, "peer", to.String(), "error", err)
		select {
		case <-time.After(pause):
		case <-l.ctx.Done():
			return nil
		}
		pause = min(2*pause, lastPause)
	}
}

func (l *line) askOnce(to dataplane.Peer, step dataplane.Step) ([]landed, error) {
	ctx, cancel := context.WithTimeout(l.ctx, askAgain)
	defer cancel()
	me := l.leader().Device
	if err := l.mesh.Send(ctx, me, to, step, dataplane.Work, nil, nil); err != nil {
		return nil, err
	}
	m, err := l.mesh.Recv(ctx, me, to, step, dataplane.Answer)
	if err != nil {
		return nil, err
	}
	defer m.Release()
	return decodeLanded(m.Head)
}

// tell answers the leader's question when the node is ready.
func (l *line) tell(s seat, step dataplane.Step) {
	select {
	case <-l.ready:
	case <-l.ctx.Done():
		return
	}
	ctx, cancel := context.WithTimeout(l.ctx, askAgain)
	defer cancel()
	if err := l.mesh.Send(ctx, s.device, l.leader(), step, dataplane.Answer, encodeLanded(l.cached), nil); err != nil {
		l.node.log.Debug("the leader does not hear that this node is ready", "epoch", l.epoch, "pipeline", l.index, "error", err)
	}
}
