package tracereplayer

import (
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/skip"
	"github.com/spotserve/spotserve/platform/wire"
)

func newLedger() *ledger {
	quiet := slog.New(slog.DiscardHandler)
	return &ledger{log: quiet, skips: skip.New(quiet, nil), limits: newLimits(), finished: make(map[string]bool)}
}

// TestAFloodOfStarts: what comes too fast, or while too many wait, is refused with
// what is allowed, and is forgotten when the stream has the refusal.
func TestAFloodOfStarts(t *testing.T) {
	for name, c := range map[string]struct {
		every  time.Duration
		answer bool // each start is answered at once, so that none waits
		want   string
		refuse int // about so many
	}{
		"that nobody answers": {time.Second, false, "1000 starts and runs wait", 49_000},
		"too fast":            {time.Microsecond, true, "10 a second, 1000 at once", 49_000},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLedger()
			at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			const starts = 50_000
			for seq := uint64(1); seq <= starts; seq++ {
				at = at.Add(c.every)
				l.take(bus.Message{Subject: wire.SubjectStart, Seq: seq, Data: []byte("x"), Published: at})
				if e := l.of(seq); e != nil && c.answer {
					l.drop(e)
				}
			}
			if n := len(l.excess); n < c.refuse-100 || n > c.refuse {
				t.Errorf("%d of %d are refused", n, starts)
			}
			var refused []uint64
			for x, ok := l.refuse(); ok; x, ok = l.refuse() {
				if !strings.Contains(x.reason, c.want) {
					t.Fatalf("start %d: %s", x.seq, x.reason)
				}
				refused = append(refused, x.seq)
			}
			for i, seq := range refused {
				data, err := wire.EncodeControl(event.ExperimentRefused{StartSeq: seq, Reason: "full"})
				if err != nil {
					t.Fatal(err)
				}
				l.take(bus.Message{Subject: wire.SubjectRefused, Seq: starts + 1 + uint64(i), Data: data, Published: at})
			}
			if len(l.excess) != 0 || l.told != 0 || !c.answer && len(l.entries) != MaxWaiting {
				t.Errorf("left are %d refused starts and %d that wait", len(l.excess), len(l.entries))
			}
		})
	}
}

// TestTheFirstAnswerCounts: a start that this replayer would refuse, and another one
// has accepted, is a run; one of a newer schema version is none for this build.
func TestTheFirstAnswerCounts(t *testing.T) {
	l := newLedger()
	for seq := uint64(1); seq <= MaxWaiting+3; seq++ {
		l.take(bus.Message{Subject: wire.SubjectStart, Seq: seq, Data: []byte("x"), Published: time.Unix(int64(seq), 0)})
	}
	if x, ok := l.refuse(); !ok || x.seq != MaxWaiting+1 {
		t.Fatalf("refused first is %+v, %t", x, ok)
	}
	for i, answer := range []string{`{"startSeq":"1002","run":"e2e-1002"}`, `{"startSeq":"5","run":"e2e-5","schema":"3"}`} {
		l.take(bus.Message{Subject: wire.SubjectAccepted, Seq: 2000 + uint64(i), Data: []byte(answer)})
	}
	if e := l.of(1002); e == nil || e.run != "e2e-1002" || l.entries[len(l.entries)-1] != e {
		t.Errorf("the start that another replayer accepted: %+v", e)
	}
	if e := l.of(5); e != nil {
		t.Errorf("a run of a newer version: %+v", e)
	}
	if x, ok := l.refuse(); !ok || x.seq != MaxWaiting+3 {
		t.Errorf("refused next is %+v, %t", x, ok)
	}
}

// TestStopsAreBounded: a long one is no stop.
func TestStopsAreBounded(t *testing.T) {
	l := newLedger()
	l.take(bus.Message{Subject: wire.SubjectStart, Seq: 1, Data: []byte("x")})
	accepted, err := wire.EncodeControl(event.ExperimentAccepted{StartSeq: 1, Run: "e2e-1"})
	if err != nil {
		t.Fatal(err)
	}
	l.take(bus.Message{Subject: wire.SubjectAccepted, Seq: 2, Data: accepted})
	stop := `{"run":"e2e-1"` + strings.Repeat(" ", MaxStopBytes) + `}`
	l.take(bus.Message{Subject: wire.SubjectStop, Seq: 3, Data: []byte(stop)})
	if l.entries[0].isStopped() {
		t.Error("a stop of more than it may have stops a run")
	}
	l.take(bus.Message{Subject: wire.SubjectStop, Seq: 4, Data: []byte(`{"run":"e2e-1"}`)})
	if !l.entries[0].isStopped() {
		t.Error("the run is not stopped")
	}
}

// TestTheLargestStartOfARun: the resolved experiment goes into one message, or the
// start is refused.
func TestTheLargestStartOfARun(t *testing.T) {
	spec := experiment.Spec{Kind: experiment.EndToEnd, Quirks: experiment.QuirksNone, Batching: experiment.Pooled}
	for i := range 10_000 { // the most that a trace may have
		spec.Nodes = append(spec.Nodes, fmt.Sprintf("ip-10-0-%d-%d.eu-central-1.compute.internal", i/256, i%256))
	}
	if err := fits("custom-1", event.RunStarted{Spec: spec}); err != nil {
		t.Errorf("10,000 nodes under the names of a cloud: %v", err)
	}
	for i := range spec.Nodes {
		spec.Nodes[i] += strings.Repeat("x", 100)
	}
	if err := fits("custom-1", event.RunStarted{Spec: spec}); err == nil || !strings.Contains(err.Error(), "10000 nodes") {
		t.Errorf("with longer names: %v", err)
	}
}

// maxWork is far more than any start needs that one message can carry, and far less
// than a bomb would take, in bytes allocated.
const maxWork = 1 << 30

// FuzzStart: any bytes on the start subject are accepted or refused, without a
// crash and without more memory than a start may take.
func FuzzStart(f *testing.F) {
	var aliases strings.Builder
	aliases.WriteString("a: &a [x,x,x,x,x,x,x,x,x,x]\n")
	for c := 'b'; c <= 'z'; c++ {
		fmt.Fprintf(&aliases, "%c: &%c [%s]\n", c, c, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*%c,", c-1), 10), ","))
	}
	bomb := aliases.String()
	small := "name: mine\nmodel: 20B\ninstance: g4dn.12xlarge\ntrace: {name: As}\narrivals: {rate_rps: 0.35}\n"
	for _, yaml := range []string{
		small, bomb, small + bomb,
		strings.Repeat("[", 100_000), strings.Repeat("{a: ", 50_000), strings.Repeat("- ", 100_000),
		"a: &a {b: *a, <<: *a}\n", small + "<<: &x {<<: *x}\n",
		small + "seeds: 1000000000\n", small + "sweep: {rate: [" + strings.Repeat("1,", 100_000) + "2]}\n",
		small + "sweep: {rate: [1,2,3,4,5,6,7,8,9], grace: [1,2,3,4,5,6,7,8,9], batch_limit: [1,2,3,4,5,6,7,8,9], seed: [1,2,3]}\n",
		"name: mine\nmodel: 20B\ninstance: g4dn.12xlarge\ntrace: {fixed: {instances: 999999999, market: spot, end_s: 1e300}}\narrivals: {rate_rps: 1e300}\n",
		"name: mine\nmodel: 20B\ninstance: g4dn.12xlarge\ntrace: {fixed: {instances: 3, market: spot, end_s: 1e8}}\narrivals: {rate_rps: 1e5}\n",
		small + "grace_s: 1" + strings.Repeat("0", 10_000) + "\n", small + "seed: -99999999999999999999\n",
		strings.Replace(small, "mine", strings.Repeat("n", 1<<19), 1),
	} {
		data, err := wire.EncodeControl(event.StartExperiment{Experiment: experiment.Custom, YAML: yaml})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"e2e":{"approach":"spotserve","model":"20B","trace":"As"},"options":{"seed":3}}`))
	f.Add([]byte(strings.Repeat(`{"e2e":`, 20_000)))
	f.Add([]byte(`{"ondemand":{"nodes":9223372036854775807}}`))
	f.Add([]byte("\x12\x05e2e-1\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > bus.MaxMessage || strings.Contains(string(data), "file") {
			return // the bus takes no more; and files of the host are no input of the fuzzer
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, spec, _, err := resolve(data)
		if err == nil {
			err = fits("custom-1", event.RunStarted{Spec: spec})
		}
		if err != nil {
			if r := refusal(1, err); r.Reason == "" {
				t.Errorf("refused without a reason: %v", err)
			}
		}
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > maxWork {
			t.Errorf("%d bytes take %d bytes of memory", len(data), used)
		}
	})
}
