package natsserver_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/spotserve/spotserve/platform/linktest"
	"github.com/spotserve/spotserve/platform/natsserver"
)

// TestCluster: of three servers that keep a stream one goes, and the stream
// answers.
func TestCluster(t *testing.T) {
	routes := linktest.Unused(t, 3)
	var servers []*natsserver.Server
	var urls []string
	for i, at := range routes {
		s := start(t, natsserver.Options{Listen: "127.0.0.1:0", Cluster: &natsserver.Cluster{
			Name: string(rune('a' + i)), Listen: at, Routes: routes,
		}})
		servers, urls = append(servers, s), append(urls, s.URL())
	}
	nc, err := nats.Connect(strings.Join(urls, ","), nats.ReconnectWait(10*time.Millisecond), nats.MaxReconnects(-1))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	stream := jetstream.StreamConfig{Name: "T", Subjects: []string{"t"}, Replicas: 3}
	eventually(t, func() error {
		_, err := js.CreateOrUpdateStream(t.Context(), stream)
		return err
	})
	before, err := js.Publish(t.Context(), "t", nil)
	if err != nil {
		t.Fatal(err)
	}
	info, err := js.Stream(t.Context(), "T")
	if err != nil {
		t.Fatal(err)
	}
	leader := info.CachedInfo().Cluster.Leader
	if err := servers[leader[0]-'a'].Shutdown(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		after, err := js.Publish(t.Context(), "t", nil, jetstream.WithMsgID("after"))
		if err == nil && after.Sequence != before.Sequence+1 {
			t.Errorf("message %d after %d", after.Sequence, before.Sequence)
		}
		return err
	})
}

// eventually tries until it works.
func eventually(t *testing.T, try func() error) {
	t.Helper()
	timeout := time.After(2 * time.Minute)
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-timeout:
			t.Fatal(err)
		}
	}
}

func TestClusterIsRefused(t *testing.T) {
	for name, o := range map[string]natsserver.Options{
		"nobody can join":   {Cluster: &natsserver.Cluster{Name: "a", Listen: "127.0.0.1:0", Routes: []string{"127.0.0.1:1"}}},
		"no name":           {Listen: "127.0.0.1:0", Cluster: &natsserver.Cluster{Listen: "127.0.0.1:0", Routes: []string{"127.0.0.1:1"}}},
		"no routes":         {Listen: "127.0.0.1:0", Cluster: &natsserver.Cluster{Name: "a", Listen: "127.0.0.1:0"}},
		"no address":        {Listen: "127.0.0.1:0", Cluster: &natsserver.Cluster{Name: "a", Routes: []string{"127.0.0.1:1"}}},
		"a route elsewhere": {Listen: "127.0.0.1:0", Cluster: &natsserver.Cluster{Name: "a", Listen: "127.0.0.1:0", Routes: []string{"here"}}},
	} {
		o.StoreDir = t.TempDir()
		if s, err := natsserver.Start(o); err == nil {
			t.Errorf("%s: it starts", name)
			_ = s.Shutdown()
		}
	}
}

// TestFullStore: what does not fit is refused, and said to the publisher.
func TestFullStore(t *testing.T) {
	s := start(t, natsserver.Options{MaxStore: 1 << 20})
	nc, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "T", Subjects: []string{"t"}}); err != nil {
		t.Fatal(err)
	}
	for n := range 40 {
		if _, err = js.Publish(t.Context(), "t", make([]byte, 100<<10)); err != nil {
			if n < 8 || !strings.Contains(err.Error(), "insufficient") {
				t.Errorf("message %d: %v; want the want of room after about ten", n, err)
			}
			return
		}
	}
	t.Error("4 MB fit into 1 MB")
}
