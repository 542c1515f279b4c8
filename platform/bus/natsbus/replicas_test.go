package natsbus_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/bus/natsbus"
	"github.com/spotserve/spotserve/platform/natsserver"
)

// TestReplicas: a cluster keeps streams and keys on as many servers as were asked
// for last, one at first.
func TestReplicas(t *testing.T) {
	var routes, urls []string
	for range 3 {
		routes = append(routes, unused(t))
	}
	for i, at := range routes {
		s, err := natsserver.Start(natsserver.Options{StoreDir: t.TempDir(), Listen: "127.0.0.1:0", Cluster: &natsserver.Cluster{
			Name: string(rune('a' + i)), Listen: at, Routes: routes,
		}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Shutdown() })
		urls = append(urls, s.URL())
	}
	url := strings.Join(urls, ",")
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ ask, want int }{{0, 1}, {3, 3}, {0, 3}} {
		var b *natsbus.Bus
		for end := time.Now().Add(patience); b == nil; time.Sleep(100 * time.Millisecond) {
			if b, err = natsbus.Connect(t.Context(), natsbus.Options{URL: url, Replicas: step.ask}); err != nil && time.Now().After(end) {
				t.Fatal(err)
			}
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		names := []string{string(bus.Control), string(bus.Runs), "KV_SPOT_KEYS"}
		if step.ask == 0 && step.want == 1 {
			names = names[:2] // nobody has needed a key yet
		}
		for _, name := range names {
			s, err := js.Stream(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			if n := s.CachedInfo().Config.Replicas; n != step.want {
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
