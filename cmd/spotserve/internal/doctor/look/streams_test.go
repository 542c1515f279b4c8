package look_test

import (
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/spotserve/spotserve/cmd/spotserve/internal/doctor"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/linktest"
	"github.com/spotserve/spotserve/platform/wire"
)

// streamsOf is JetStream as its users see it.
func streamsOf(t *testing.T, url string) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// fill stores so many bytes in a stream that is none of ours.
func fill(t *testing.T, url string, bytes int) {
	t.Helper()
	js := streamsOf(t, url)
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "FULL", Subjects: []string{"full"}}); err != nil {
		t.Fatal(err)
	}
	for ; bytes > 0; bytes -= 100 << 10 {
		if _, err := js.Publish(t.Context(), "full", make([]byte, min(bytes, 100<<10)-200)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestStreamSettings: streams that somebody else made, each wrong in one way.
func TestStreamSettings(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name        string
		change      func(*jetstream.StreamConfig)
		found, mend string
	}{
		{"storage", func(c *jetstream.StreamConfig) { c.Storage = jetstream.MemoryStorage }, "its storage is Memory", "nats stream rm"},
		{"retention", func(c *jetstream.StreamConfig) { c.Retention = jetstream.WorkQueuePolicy }, "its retention is WorkQueue", "nats stream rm"},
		{"age", func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour }, "messages go after 1h0m0s", "nats stream edit SPOT_RUNS --max-age=0"},
		{"messages", func(c *jetstream.StreamConfig) { c.MaxMsgs = 10 }, "it keeps 10 messages", "nats stream edit SPOT_RUNS --max-msgs=-1"},
		{"bytes", func(c *jetstream.StreamConfig) { c.MaxBytes = 1e9 }, "it keeps 1 GB", "nats stream edit SPOT_RUNS --max-bytes=-1"},
		{"window", func(c *jetstream.StreamConfig) { c.Duplicates = time.Second }, "repeated messages for 1s", "--dupe-window=1m0s"},
		{"size", func(c *jetstream.StreamConfig) { c.MaxMsgSize = 1000 }, "a message may have 1 kB", "it sets the bound"},
		{"any size", func(c *jetstream.StreamConfig) { c.MaxMsgSize = -1 }, "a message may have any size", "it sets the bound"},
		{"subjects", func(c *jetstream.StreamConfig) { c.Subjects = []string{"spot.run.a.>"} }, "it stores [spot.run.a.>]", "start a service"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			url := newServer(t, &server.Options{JetStream: true})
			config := jetstream.StreamConfig{Name: string(bus.Runs), Subjects: []string{bus.Runs.Subjects()}, MaxMsgSize: bus.MaxMessage}
			c.change(&config)
			if _, err := streamsOf(t, url).CreateStream(t.Context(), config); err != nil {
				t.Fatal(err)
			}
			mustFind(t, lookAt(t, empty(t, url)), "stream SPOT_RUNS", doctor.Failed, c.found, c.mend, append(bare, "consumer collector-runs", "consumer plotter")...)
		})
	}
}

// TestNobodyReads: a stream with messages whose reader is gone.
func TestNobodyReads(t *testing.T) {
	t.Parallel()
	s := newSite(t, server.Options{})
	s.stop["plotter"]()
	mustFind(t, s.look(), "consumer plotter", doctor.Warning, "nobody reads it", "start a plotter")

	s.stop["collector"]()
	data, err := wire.EncodeControl(event.ExperimentAccepted{StartSeq: 1, Run: "e2e-1"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.bus("test").PublishWait(t.Context(), bus.Outgoing{Subject: wire.SubjectAccepted, Data: data}); err != nil {
		t.Fatal(err)
	}
	mustFind(t, s.look(), "consumer collector-control", doctor.Failed, "1 messages wait and no collector reads them", "start the collector",
		"consumer plotter", "consumer collector-runs", "lease collector", "service collector")
	mustFind(t, s.look(), "lease collector", doctor.Failed, "nobody leads: the last collector gave it back", "start a collector",
		"consumer plotter", "consumer collector-runs", "consumer collector-control", "service collector")
	mustFind(t, s.look(), "service collector", doctor.Failed, "none answers", "start a collector",
		"consumer plotter", "consumer collector-runs", "consumer collector-control", "lease collector")
}

// TestReaderStandsStill: somebody took a message, and does not deal with it.
func TestReaderStandsStill(t *testing.T) {
	t.Parallel()
	s := newSite(t, server.Options{})
	s.stop["plotter"]()
	js := streamsOf(t, s.options.NATS)
	// A message that the plotter wants, and that nobody else heeds.
	if _, err := js.Publish(t.Context(), "spot.run.nobody-1.record.run_recorded", []byte("junk")); err != nil {
		t.Fatal(err)
	}
	c, err := js.Consumer(t.Context(), string(bus.Runs), "plotter")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		batch, err := c.Fetch(1)
		if err != nil {
			t.Fatal(err)
		}
		for m := range batch.Messages() {
			if err := m.Nak(); err != nil {
				t.Fatal(err)
			}
		}
	}
	batch, err := c.Fetch(1)
	if err != nil {
		t.Fatal(err)
	}
	for range batch.Messages() {
	}
	mustFind(t, s.look(), "consumer plotter", doctor.Warning, "1 message came more than once", "look into the log of the plotter")
}

// newCluster starts three servers of one cluster. stop ends one and returns its URL.
func newCluster(t *testing.T) (urls string, stop func(i int) string) {
	t.Helper()
	routes := linktest.Unused(t, 3)
	var servers []*server.Server
	var all []string
	for i, at := range routes {
		o := &server.Options{
			ServerName: fmt.Sprintf("nats-%d", i), Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir(),
		}
		host, port, err := net.SplitHostPort(at)
		if err != nil {
			t.Fatal(err)
		}
		o.Cluster.Name, o.Cluster.Host = "test", host
		if o.Cluster.Port, err = strconv.Atoi(port); err != nil {
			t.Fatal(err)
		}
		for _, to := range routes {
			o.Routes = append(o.Routes, &url.URL{Scheme: "nats", Host: to})
		}
		s, err := server.NewServer(o)
		if err != nil {
			t.Fatal(err)
		}
		s.Start()
		t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
		servers = append(servers, s)
	}
	for _, s := range servers {
		if !s.ReadyForConnections(time.Minute) {
			t.Fatal("a server of the cluster is not ready")
		}
		all = append(all, s.ClientURL())
	}
	for !slices.ContainsFunc(servers, func(s *server.Server) bool { return s.JetStreamIsLeader() }) {
		time.Sleep(50 * time.Millisecond)
	}
	return strings.Join(all, ","), func(i int) string {
		servers[i].Shutdown()
		servers[i].WaitForShutdown()
		return all[i]
	}
}

// TestServerOfAClusterIsGone: the streams go on without one of three servers.
func TestServerOfAClusterIsGone(t *testing.T) {
	t.Parallel()
	urls, stop := newCluster(t)
	s := &site{t: t, stop: make(map[string]func()), options: empty(t, urls)}
	s.options.Store, s.options.Nodes = "sqlite:"+filepath.Join(t.TempDir(), "store.db"), []string{node}
	for _, name := range services {
		s.start(name)
	}
	alone := []string{"stream SPOT_RUNS", "stream SPOT_CONTROL", "stream KV_SPOT_KEYS"}
	mustFind(t, s.look(), "stream SPOT_RUNS", doctor.Warning, "one server of the cluster keeps it", "--stream-replicas 3", alone...)
	s.stop["planner"]()
	s.replicas = 3
	s.start("planner")
	s.await(func(r doctor.Report) bool { return r.Count(doctor.OK) == len(r.Findings) })
	gone := stop(2)
	r := s.await(func(r doctor.Report) bool {
		return slices.ContainsFunc(r.Findings, func(f doctor.Finding) bool { return strings.Contains(f.Found, "which keeps it, is gone") })
	})
	mustFind(t, r, "nats "+gone, doctor.Failed, "connection refused", "start nats-server -js", alone...)
	mustFind(t, r, "stream SPOT_RUNS", doctor.Failed, "server nats-2, which keeps it, is gone", "start or mend that server", append(alone, "nats "+gone)...)
}
