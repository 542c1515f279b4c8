package natsbus

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/natsserver"
)

func connectAlone(t *testing.T) *Bus {
	t.Helper()
	s, err := natsserver.Start(natsserver.Options{StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Shutdown(); err != nil {
			t.Error(err)
		}
	})
	b, err := Connect(t.Context(), Options{InProcess: s})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	if !b.outbox.alone {
		t.Error("a server on its own is taken for a cluster")
	}
	return b
}

func (o *outbox) answersTo(inbox string) (before string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	before, o.inbox = o.inbox, inbox
	return before
}

// Answers that stay away make the outbox send again. The stream drops what it
// has.
func TestMissingAnswers(t *testing.T) {
	b := connectAlone(t)
	inbox := b.outbox.answersTo("nowhere.")
	const n = 3
	for i := range n {
		if err := b.Publish(t.Context(), bus.Outgoing{Subject: "spot.run.r.x", Data: fmt.Append(nil, i)}); err != nil {
			t.Fatal(err)
		}
	}
	b.outbox.answersTo(inbox)
	b.outbox.check(time.Now()) // too early
	if len(b.outbox.slots) != n {
		t.Fatalf("%d messages are under way; want %d", len(b.outbox.slots), n)
	}
	b.outbox.check(time.Now().Add(answerWithin))
	if err := b.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if last, err := b.LastSeq(t.Context(), bus.Runs); last != n || err != nil {
		t.Errorf("the stream ends at %d, %v; want %d", last, err, n)
	}
}

// While nobody stores the subject, messages wait, and keep their order.
func TestNobodyStores(t *testing.T) {
	b := connectAlone(t)
	js := b.link.current.js
	if err := js.DeleteStream(t.Context(), string(bus.Runs)); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		if err := b.Publish(t.Context(), bus.Outgoing{Subject: "spot.run.r.x", Data: fmt.Append(nil, i)}); err != nil {
			t.Fatal(err)
		}
		if i == 2 {
			for halted := false; !halted; time.Sleep(time.Millisecond) {
				b.outbox.mu.Lock()
				halted = !b.outbox.resumeAt.IsZero()
				b.outbox.mu.Unlock()
			}
		}
	}
	if err := ensureStreams(t.Context(), b.link.current); err != nil {
		t.Fatal(err)
	}
	if err := b.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	sub, err := b.Follow(t.Context(), bus.Runs, bus.Position{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		if m := <-sub.C(); string(m.Data) != fmt.Sprint(i) || m.Seq != uint64(i+1) {
			t.Errorf("message %d is %s with sequence %d", i, m.Data, m.Seq)
		}
	}
}

func TestParseAnswer(t *testing.T) {
	nobody := nats.NewMsg("")
	nobody.Header.Set("Status", "503")
	for name, tt := range map[string]struct {
		answer *nats.Msg
		seq    uint64
		halt   bool
		fails  bool
	}{
		"stored":        {&nats.Msg{Data: []byte(`{"stream":"SPOT_RUNS","seq":7}`)}, 7, false, false},
		"repetition":    {&nats.Msg{Data: []byte(`{"stream":"SPOT_RUNS","seq":7,"duplicate":true}`)}, 7, false, false},
		"nobody":        {nobody, 0, true, false},
		"not available": {&nats.Msg{Data: []byte(`{"error":{"code":503,"description":"no leader"},"stream":"SPOT_RUNS","seq":0}`)}, 0, true, false},
		"too many":      {&nats.Msg{Data: []byte(`{"error":{"code":429,"err_code":10167,"description":"too many requests"},"stream":"SPOT_RUNS","seq":0}`)}, 0, true, false},
		"in process":    {&nats.Msg{Data: []byte(`{"error":{"code":409,"err_code":10158,"description":"duplicate message id is in process"}}`)}, 0, true, false},
		"refused":       {&nats.Msg{Data: []byte(`{"error":{"code":400,"description":"too large"}}`)}, 0, false, true},
		"empty":         {&nats.Msg{Data: []byte(`{}`)}, 0, false, true},
		"no data":       {&nats.Msg{}, 0, false, true},
		"not JSON":      {&nats.Msg{Data: []byte(`+OK`)}, 0, false, true},
	} {
		seq, halt, err := parseAnswer(tt.answer)
		if seq != tt.seq || halt != tt.halt || (err != nil) != tt.fails {
			t.Errorf("%s: %d, halt %v, %v; want %d, %v, fails %v", name, seq, halt, err, tt.seq, tt.halt, tt.fails)
		}
	}
}
