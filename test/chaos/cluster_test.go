//go:build unix

package chaos

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/platform/bus"
)

// TestClusterLosesItsLeader: of three NATS servers that keep the streams, the
// one that leads the runs' stream is killed in mid-run, and then, when it is
// back, the next one. No process ends. How long the servers take is theirs to
// say; the run is long enough for slow ones.
func TestClusterLosesItsLeader(t *testing.T) {
	slow(t)
	strike(t, options{servers: 3, endS: 1500}, func(s *site, _ string) {
		first := s.streamLeader()
		first.kill()
		s.watch.AwaitMore(5, event.RequestCompleted{})
		first.serve()
		s.awaitCurrent()
		s.streamLeader().kill()
		s.watch.AwaitMore(5, event.RequestCompleted{})
		s.mustLive()
	})
}

// streamLeader is the server that leads the runs' stream.
func (s *site) streamLeader() (leader *proc) {
	s.t.Helper()
	s.streamInfo("a leader of the runs' stream", func(c *jetstream.ClusterInfo) bool {
		for i, p := range s.servers {
			if c.Leader == clusterName(i) {
				leader = p
			}
		}
		return leader != nil
	})
	return leader
}

// awaitCurrent waits until all servers have all of the runs' stream.
func (s *site) awaitCurrent() {
	s.t.Helper()
	s.streamInfo("three current servers", func(c *jetstream.ClusterInfo) bool {
		current := 1
		for _, r := range c.Replicas {
			if r.Current && !r.Offline {
				current++
			}
		}
		return current == len(s.servers)
	})
}

func (s *site) streamInfo(what string, holds func(*jetstream.ClusterInfo) bool) {
	s.t.Helper()
	nc, err := nats.Connect(s.url, nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond))
	if err != nil {
		s.t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		s.t.Fatal(err)
	}
	within(s.t, what, func() (bool, any) {
		stream, err := js.Stream(s.t.Context(), string(bus.Runs))
		if err != nil || stream.CachedInfo().Cluster == nil {
			return false, err
		}
		c := stream.CachedInfo().Cluster
		var replicas []string
		for _, r := range c.Replicas {
			replicas = append(replicas, r.Name)
		}
		return holds(c), c.Leader + " " + strings.Join(replicas, " ")
	})
}
