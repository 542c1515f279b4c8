package look

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/spotserve/spotserve/cmd/spotserve/internal/doctor"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/platform/alarm"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/bus/jsapi"
	"github.com/spotserve/spotserve/platform/wire"
)

var (
	errNoServer  = errors.New("no NATS server can be asked")
	errNoBucket  = errors.New("the bucket of keys is not there")
	errNoControl = errors.New("no stream takes a roll call")
)

// isNobody reports whether nobody takes a request.
func isNobody(err error) bool { return errors.Is(err, nats.ErrNoResponders) }

// listen is how long it is listened: twice the time between two beats, and alarms,
// and for whoever is slow to answer a roll call.
const listen = 2500 * time.Millisecond

// calls is how often the roll is called: a service that is just starting hears the
// second call.
const calls = 2

// The subjects of heartbeats begin so; presence has the answers to roll calls.
const (
	heartbeats = "spot.signal.heartbeat.worker"
	presence   = "spot.control.service.>"
)

// signals calls the roll and hears who answers, and whose heart beats meanwhile.
func (l *looker) signals(ctx context.Context, s *doctor.Seen) {
	ear := &ear{heard: make(map[string][]doctor.Present), beats: make(map[string]bool)}
	// By wildcards: who may make a consumer could have a server deliver to a subject
	// that somebody subscribes to by its full name.
	stopBeats, err := l.asker.hear(bus.Signals, ear.signal)
	if err != nil {
		s.Beats.Err = err
	} else {
		defer stopBeats()
	}
	stopPresence, err := l.asker.hear(presence, ear.present)
	if err != nil {
		s.Roll.Err = err
	} else {
		defer stopPresence()
	}
	// A call that no stream keeps is heard by this process alone.
	var info jetstream.StreamInfo
	if err := l.asker.api(ctx, jsapi.StreamInfo(string(bus.Control)), nil, &info); isCode(err, codeNoStream) {
		s.Roll.Err = errNoControl
	}
	called, stopCalling := context.WithTimeout(ctx, listen)
	defer stopCalling()
	for range calls {
		if s.Roll.Err != nil {
			break
		}
		ear.calls = append(ear.calls, l.call(ctx, s))
		pause(called, listen/(calls+1))
	}
	<-called.Done()
	s.Roll.Present, s.Beats.Nodes, s.Beats.StoreAway = ear.result()
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// call calls the roll under a new name.
func (l *looker) call(ctx context.Context, s *doctor.Seen) (name string) {
	name = rand.Text()
	data, err := wire.EncodeControl(event.RollCalled{Call: name, Schema: event.SchemaVersion})
	if err == nil {
		_, err = l.asker.ask(ctx, wire.SubjectRollCalled, json.RawMessage(data))
	}
	if err != nil {
		s.Roll.Err = fmt.Errorf("call the roll: %w", err)
	}
	return name
}

// ear takes what is heard.
type ear struct {
	mu    sync.Mutex
	calls []string
	heard map[string][]doctor.Present // by call
	beats map[string]bool
	alarm bool
}

func (e *ear) signal(m *nats.Msg) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if m.Subject == alarm.StoreAway {
		e.alarm = true
		return
	}
	if m.Subject != heartbeats && !strings.HasPrefix(m.Subject, heartbeats+".") {
		return
	}
	if token, ok := strings.CutPrefix(m.Subject, heartbeats+"."); ok {
		if node, ok := wire.NodeOfToken(token); ok {
			e.beats[node] = true
		}
		return
	}
	for node := range strings.FieldsSeq(string(m.Data)) {
		e.beats[node] = true // as builds before version 2 of the schema
	}
}

func (e *ear) present(m *nats.Msg) {
	body, err := wire.DecodeControl(m.Subject, m.Data)
	who, ok := body.(event.ServicePresent)
	if err != nil || !ok {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	p := doctor.Present{ServicePresent: who, Heard: time.Now()}
	if who.WallClock != 0 {
		p.Clock = time.Unix(0, who.WallClock)
	}
	e.heard[who.Call] = append(e.heard[who.Call], p)
}

// result is what the call was answered that most have answered: each process
// answers each call once.
func (e *ear) result() (present []doctor.Present, beats map[string]bool, alarm bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, name := range e.calls {
		if answers := e.heard[name]; len(answers) >= len(present) {
			present = answers
		}
	}
	slices.SortFunc(present, func(a, b doctor.Present) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), slices.Compare(a.Nodes, b.Nodes))
	})
	return slices.Clone(present), maps.Clone(e.beats), e.alarm
}
