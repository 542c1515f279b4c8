package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/oklog/run"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/vtime"
	"github.com/spotserve/spotserve/platform/actor"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/clock"
	"github.com/spotserve/spotserve/platform/notice"
	"github.com/spotserve/spotserve/platform/notice/open"
	"github.com/spotserve/spotserve/platform/obs"
)

// NoticeSources returns where a worker for nodes learns that its instance will
// go. There is one instance, so there has to be one node.
func NoticeSources(ctx context.Context, o open.Options, nodes []string, log *slog.Logger) ([]notice.Source, error) {
	node := ""
	if len(nodes) == 1 {
		node = nodes[0]
	}
	if len(o.Names) > 0 && (node == "" || node == AllNodes) {
		return nil, fmt.Errorf("worker: notices are about the instance that it runs on: they need exactly one --node with a name, there are %q", nodes)
	}
	sources, err := open.Sources(ctx, o, node, log)
	if err != nil {
		return nil, fmt.Errorf("worker: %w", err)
	}
	return sources, nil
}

// watch adds the notice sources to the group.
func (s *service) watch(g *run.Group) error {
	if len(s.Notices) == 0 {
		return nil
	}
	if len(s.Nodes) != 1 || s.Nodes[0] == AllNodes {
		return errors.New("worker: notices need exactly one node with a name")
	}
	s.board = notice.NewBoard(s.Log.With(obs.KeyNode, s.Nodes[0]))
	for _, source := range s.Notices {
		ctx, cancel := context.WithCancel(context.Background())
		g.Add(func() error {
			return source.Watch(ctx, func(n notice.Notice) { s.board.Post(source.String(), n) })
		}, func(error) { cancel() })
	}
	return nil
}

// membership is whether a node is in a run's fleet, as its core takes it.
type membership struct {
	node    string
	mu      sync.Mutex
	joined  int // how often
	here    bool
	changed chan struct{} // closed at the next change
}

// observe takes an event that the node's core takes.
func (m *membership) observe(ev event.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := m.here
	switch b := ev.Body.(type) {
	case event.InstanceAcquired:
		m.here = m.here || slices.ContainsFunc(b.Instances, func(i experiment.Instance) bool { return i.Node == m.node })
	case event.InstanceLost:
		m.here = m.here && !slices.Contains(b.Nodes, m.node)
	}
	if m.here == before {
		return
	}
	if m.here {
		m.joined++
	}
	close(m.changed)
	m.changed = make(chan struct{})
}

func (m *membership) now() (joined int, here bool, changed <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.joined, m.here, m.changed
}

// announcer tells a run what stands for its node: as long as the node is in the
// fleet, and again when it has joined.
type announcer struct {
	bus    bus.Publisher
	board  *notice.Board
	clock  clock.Clock
	scale  float64 // experiment seconds a wall second
	run    string
	schema int // of the run
	member membership

	joined int             // when it last looked
	said   notice.Standing // since the node has joined
	past   time.Time       // a deadline that had passed by then: it was of another life
	lost   bool            // said so
	seq    uint64
}

// tell follows the board until the context ends.
func (a *announcer) tell(ctx context.Context) error {
	due := time.NewTimer(0)
	defer due.Stop()
	for {
		joined, here, moved := a.member.now()
		standing, news := a.board.Standing(a.member.node)
		if joined != a.joined {
			a.joined, a.said, a.past, a.lost = joined, notice.Standing{}, time.Time{}, false
			if time.Now().After(standing.Deadline) {
				a.past = standing.Deadline
			}
		}
		if standing.Deadline.Equal(a.past) {
			standing.Deadline = time.Time{}
		}
		if here {
			if err := a.sayAll(ctx, standing); err != nil {
				return err
			}
		}
		due.Stop()
		if here && !a.lost && !a.said.Deadline.IsZero() {
			due.Reset(time.Until(a.said.Deadline))
		}
		select {
		case <-moved:
		case <-news:
		case <-due.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// sayAll says how what stands differs from what was said.
func (a *announcer) sayAll(ctx context.Context, standing notice.Standing) error {
	nodes := []string{a.member.node}
	var news []event.Body
	if standing.AtRisk && !a.said.AtRisk {
		news = append(news, event.RebalanceRecommended{Nodes: nodes})
	}
	if !standing.Deadline.Equal(a.said.Deadline) && !a.lost {
		// Of two deadlines the planner keeps the earlier.
		if !a.said.Deadline.IsZero() && (standing.Deadline.IsZero() || standing.Deadline.After(a.said.Deadline)) {
			news = append(news, event.PreemptionCancelled{Nodes: nodes})
		}
		if !standing.Deadline.IsZero() {
			news = append(news, event.PreemptionNoticed{Nodes: nodes, Deadline: a.experiment(standing.Deadline)})
		}
	}
	a.said = standing
	if !standing.Deadline.IsZero() && !a.lost && time.Until(standing.Deadline) <= 0 {
		a.lost = true
		news = append(news, event.InstanceLost{Nodes: nodes})
	}
	for _, b := range news {
		if err := a.say(ctx, b); err != nil {
			return err
		}
	}
	return nil
}

// experiment is the experiment time of a wall time, but not before now: what
// remains goes out, whatever a notice says of the past.
func (a *announcer) experiment(at time.Time) vtime.Time {
	now := max(0, a.clock.Now())
	return max(now, now.Add(time.Duration(float64(time.Until(at))*a.scale)))
}

// say publishes one event. Its number is the wall time in milliseconds: it must
// differ from those of a process that stood for the node before.
func (a *announcer) say(ctx context.Context, b event.Body) error {
	a.seq = max(a.seq+1, uint64(time.Now().UnixMilli()))
	return actor.Publish(ctx, a.bus, event.Event{
		Run: a.run, Source: event.SourceNotice(a.member.node), Seq: a.seq, Time: max(0, a.clock.Now()), Version: a.schema, Body: b,
	})
}
