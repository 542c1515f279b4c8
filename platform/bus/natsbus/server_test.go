package natsbus_test

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/bus/natsbus"
	"github.com/spotserve/spotserve/platform/linktest"
)

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not say %q", err, part)
		}
	}
	if strings.Contains(err.Error(), "s3cret") {
		t.Errorf("error %q shows the password", err)
	}
}

// unused is an address where nobody listens.
func unused(t *testing.T) string {
	t.Helper()
	return linktest.Unused(t, 1)[0]
}

func TestUnreachable(t *testing.T) {
	addr := unused(t)
	for url, parts := range map[string][]string{
		"nats://" + addr:           {"nats://" + addr, "is nats-server -js running there", "--nats"},
		addr:                       {"nats://" + addr},
		"nats://me:s3cret@" + addr: {"me:xxxxx@" + addr},
		"nats://s3cret@" + addr:    {"xxxxx@" + addr},
		"nats://" + addr + ",nats://a:s3cret@" + addr: {addr + ",nats://a:xxxxx@"},
		"nats://me:s3cret@host:port":                  {"URL 1 of 1", "nats://[user:password@]host:port"},
		"nats://me:s3/s3cret@" + addr:                 {"URL 1 of 1"},
		"nats://":                                     {"URL 1 of 1"},
		"":                                            {"neither"},
	} {
		_, err := natsbus.Connect(t.Context(), natsbus.Options{URL: url})
		wantError(t, err, parts...)
	}
}

func TestWithoutJetStream(t *testing.T) {
	s, err := server.NewServer(&server.Options{DontListen: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	defer s.WaitForShutdown()
	defer s.Shutdown()
	_, err = natsbus.Connect(t.Context(), natsbus.Options{InProcess: s})
	wantError(t, err, "JetStream is off", "nats-server -js")
}

func TestTwoProcesses(t *testing.T) {
	h := newHost(t, "127.0.0.1:0")
	a := connect(t, natsbus.Options{InProcess: h, FirstSeq: 7})
	// The streams are there: another first sequence does not matter any more.
	b := connect(t, natsbus.Options{URL: h.server.Load().URL(), FirstSeq: 100})
	sub, err := b.Follow(t.Context(), bus.Control, bus.Position{})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Publish(t.Context(), bus.Outgoing{Subject: "spot.control.experiment.start"}); err != nil {
		t.Fatal(err)
	}
	if m := receive(t, sub.C()); m.Seq != 7 {
		t.Errorf("sequence %d; want 7", m.Seq)
	}
}

// client is a client of the server that is not the bus.
func client(t *testing.T, h *host) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect("", nats.InProcessServer(h))
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

func TestStreams(t *testing.T) {
	h := newHost(t, "")
	connect(t, natsbus.Options{InProcess: h})
	js := client(t, h)
	for _, s := range []bus.Stream{bus.Control, bus.Runs} {
		stream, err := js.Stream(t.Context(), string(s))
		if err != nil {
			t.Fatal(err)
		}
		c := stream.CachedInfo().Config
		if !slices.Equal(c.Subjects, []string{s.Subjects()}) || c.Storage != jetstream.FileStorage || c.Retention != jetstream.LimitsPolicy ||
			c.MaxAge != 0 || c.Discard != jetstream.DiscardOld || c.Replicas != 1 || c.Duplicates.String() != "2m0s" {
			t.Errorf("stream %s is %+v", s, c)
		}
	}
}

// What was set for the streams once stays, unless it is asked for otherwise.
func TestStreamsAreUpdated(t *testing.T) {
	h := newHost(t, "")
	js := client(t, h)
	for _, step := range []struct {
		options natsbus.Options
		want    string
	}{
		{natsbus.Options{InProcess: h, DuplicateWindow: 3e9}, "3s"},
		{natsbus.Options{InProcess: h}, "3s"},
		{natsbus.Options{InProcess: h, DuplicateWindow: 5e9}, "5s"},
	} {
		if err := connect(t, step.options).Close(); err != nil {
			t.Fatal(err)
		}
		stream, err := js.Stream(t.Context(), string(bus.Runs))
		if err != nil {
			t.Fatal(err)
		}
		if got := stream.CachedInfo().Config.Duplicates.String(); got != step.want {
			t.Errorf("window %s; want %s", got, step.want)
		}
	}
}

func TestForeignStreamIsRefused(t *testing.T) {
	h := newHost(t, "")
	if _, err := client(t, h).CreateStream(t.Context(), jetstream.StreamConfig{
		Name: string(bus.Runs), Subjects: []string{"spot.run.>"}, Retention: jetstream.WorkQueuePolicy,
	}); err != nil {
		t.Fatal(err)
	}
	_, err := natsbus.Connect(t.Context(), natsbus.Options{InProcess: h})
	wantError(t, err, "SPOT_RUNS", "WorkQueue", "want limits")
}

// A message that the server refuses later makes the next call fail, once.
func TestRefusedMessage(t *testing.T) {
	h := newHost(t, "")
	b := connect(t, natsbus.Options{InProcess: h})
	js := client(t, h)
	stream, err := js.Stream(t.Context(), string(bus.Runs))
	if err != nil {
		t.Fatal(err)
	}
	config := stream.CachedInfo().Config
	config.MaxMsgSize = 100
	if _, err := js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	big := bus.Outgoing{Subject: "spot.run.r.big", Data: make([]byte, 1000)}
	if err := b.Publish(t.Context(), big); err != nil {
		t.Fatal(err)
	}
	wantError(t, b.Flush(t.Context()), "spot.run.r.big", "size")
	if err := b.Flush(t.Context()); err != nil {
		t.Errorf("the failure is reported twice: %v", err)
	}
	if _, err := b.PublishWait(t.Context(), bus.Outgoing{Subject: "spot.run.r.small"}); err != nil {
		t.Errorf("a message after a failure: %v", err)
	}
	if err := b.Publish(t.Context(), big); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second one comes after the answer to the failure
		if _, err := b.PublishWait(t.Context(), bus.Outgoing{Subject: "spot.run.r.small"}); err != nil {
			t.Errorf("PublishWait fails for another message: %v", err)
		}
	}
	wantError(t, b.Flush(t.Context()), "spot.run.r.big", "size")
	_, err = b.PublishWait(t.Context(), big)
	wantError(t, err, "spot.run.r.big", "size")
	if err := b.Flush(t.Context()); err != nil {
		t.Errorf("a failure that PublishWait returned is reported again: %v", err)
	}
}

func TestTooLargeForTheServer(t *testing.T) {
	b := connect(t, natsbus.Options{InProcess: newHost(t, "")})
	err := b.Publish(t.Context(), bus.Outgoing{Subject: "spot.run.r.x", Data: make([]byte, 2<<20)})
	wantError(t, err, "spot.run.r.x", "2097152", "1048576")
	if seq, err := b.PublishWait(t.Context(), bus.Outgoing{Subject: "spot.run.r.x"}); seq != 1 || err != nil {
		t.Errorf("a message after it: %d, %v; want 1", seq, err)
	}
}

// A store that was wiped is not the stream that the follower has read.
func TestStreamMadeAnew(t *testing.T) {
	h := newHost(t, "")
	b := connect(t, natsbus.Options{InProcess: h})
	sub, err := b.Follow(t.Context(), bus.Runs, bus.Position{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.PublishWait(t.Context(), bus.Outgoing{Subject: "spot.run.r.x"}); err != nil {
		t.Fatal(err)
	}
	receive(t, sub.C())
	h.stop(t)
	if err := os.RemoveAll(h.options.StoreDir); err != nil {
		t.Fatal(err)
	}
	h.start(t)
	if _, ok := <-sub.C(); ok {
		t.Fatal("a message; want the end")
	}
	wantError(t, sub.Err(), "SPOT_RUNS")
	if errors.Is(sub.Err(), bus.ErrClosed) {
		t.Errorf("Err = %v; want the loss", sub.Err())
	}
}

// TestStreamsBoundMessages: new streams, and those that were there without a bound.
func TestStreamsBoundMessages(t *testing.T) {
	h := newHost(t, "")
	js := client(t, h)
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: string(bus.Runs), Subjects: []string{"spot.run.>"}}); err != nil {
		t.Fatal(err)
	}
	connect(t, natsbus.Options{InProcess: h})
	for _, s := range []bus.Stream{bus.Control, bus.Runs} {
		stream, err := js.Stream(t.Context(), string(s))
		if err != nil {
			t.Fatal(err)
		}
		if got := stream.CachedInfo().Config.MaxMsgSize; got != bus.MaxMessage {
			t.Errorf("%s takes messages of %d bytes, want %d", s, got, bus.MaxMessage)
		}
	}
}

// TestKeysEraseNoOthers: no message rolls up the bucket, also one that was there and
// let them.
func TestKeysEraseNoOthers(t *testing.T) {
	for name, before := range map[string]func(jetstream.JetStream) error{
		"a new one": func(jetstream.JetStream) error { return nil },
		"an old one": func(js jetstream.JetStream) error {
			_, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: bus.Keys})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, "")
			js := client(t, h)
			if err := before(js); err != nil {
				t.Fatal(err)
			}
			b := connect(t, natsbus.Options{InProcess: h})
			if _, err := b.Put(t.Context(), "planner", []byte("p"), 0); err != nil {
				t.Fatal(err)
			}
			m := nats.NewMsg("$KV." + bus.Keys + ".data.node-0")
			m.Header.Set(jetstream.MsgRollup, jetstream.MsgRollupAll)
			if _, err := js.PublishMsg(t.Context(), m); err == nil {
				t.Error("the bucket is rolled up")
			}
			if value, _, err := b.Get(t.Context(), "planner"); err != nil || string(value) != "p" {
				t.Errorf("the other key is %q, %v", value, err)
			}
		})
	}
}
