package natsbus_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/bus/natsbus"
	"github.com/spotserve/spotserve/platform/linktest"
	"github.com/spotserve/spotserve/platform/natsserver"
)

// cluster is three servers of one.
type cluster struct {
	t       *testing.T
	servers []*natsserver.Server
	url     string
	js      jetstream.JetStream
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{t: t}
	var urls []string
	routes := linktest.Unused(t, 3)
	for i, at := range routes {
		s, err := natsserver.Start(natsserver.Options{StoreDir: t.TempDir(), Listen: "127.0.0.1:0", Cluster: &natsserver.Cluster{
			Name: string(rune('a' + i)), Listen: at, Routes: routes,
		}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Shutdown() })
		c.servers, urls = append(c.servers, s), append(urls, s.URL())
	}
	c.url = strings.Join(urls, ",")
	nc, err := nats.Connect(c.url, nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	if c.js, err = jetstream.New(nc); err != nil {
		t.Fatal(err)
	}
	return c
}

// connect waits until the cluster takes a bus.
func (c *cluster) connect(replicas int) *natsbus.Bus {
	c.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		b, err := natsbus.Connect(c.t.Context(), natsbus.Options{URL: c.url, Replicas: replicas})
		if err == nil {
			c.t.Cleanup(func() { _ = b.Close() })
			return b
		}
		if time.Now().After(end) {
			c.t.Fatal(err)
		}
	}
}

func (c *cluster) info(stream string) *jetstream.StreamInfo {
	c.t.Helper()
	s, err := c.js.Stream(c.t.Context(), stream)
	if err != nil {
		c.t.Fatal(err)
	}
	return s.CachedInfo()
}

// TestAClusterKeepsTheOrder: the server that leads a stream goes while messages
// are on their way to it.
func TestAClusterKeepsTheOrder(t *testing.T) {
	c := newCluster(t)
	b := c.connect(3)
	through(t, b, 5000, sync.OnceFunc(func() {
		leader := c.info(string(bus.Runs)).Cluster.Leader
		if err := c.servers[leader[0]-'a'].Shutdown(); err != nil {
			t.Error(err)
		}
	}))
}

// TestReplicas: a cluster keeps streams and keys on as many servers as were asked
// for last, one at first.
func TestReplicas(t *testing.T) {
	c := newCluster(t)
	for _, step := range []struct{ ask, want int }{{0, 1}, {3, 3}, {0, 3}} {
		if err := c.connect(step.ask).Close(); err != nil {
			t.Fatal(err)
		}
		names := []string{string(bus.Control), string(bus.Runs), "KV_SPOT_KEYS"}
		if step.ask == 0 && step.want == 1 {
			names = names[:2] // nobody has needed a key yet
		}
		for _, name := range names {
			if n := c.info(name).Config.Replicas; n != step.want {
				t.Errorf("asked for %d, %s is on %d servers, want %d", step.ask, name, n, step.want)
			}
		}
	}
}

// TestReplicasWithoutACluster is a mistake that waiting does not mend.
func TestReplicasWithoutACluster(t *testing.T) {
	_, err := natsbus.Connect(t.Context(), natsbus.Options{InProcess: newHost(t, ""), Replicas: 3})
	wantError(t, err, "SPOT_CONTROL", "replicas")
	if errors.Is(err, bus.ErrAway) {
		t.Errorf("%v; want an error for good", err)
	}
}
