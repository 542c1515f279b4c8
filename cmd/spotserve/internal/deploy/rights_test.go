package deploy_test

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// The users of the table below, by the letters of its middle column.
var letters = map[rune]string{
	't': "trace-replayer", 'p': "planner", 'w': "worker-node-0", 'x': "worker-node-1",
	'c': "collector", 'l': "plotter", 'o': "operator", 'a': "client",
}

const everybody = "tpwxcloa"

// rights is every class of subjects that there is, and who may publish there. It
// is written by hand, apart from the table in package access. {own} is the user's own
// inbox, and {other} another's.
var rights = []struct{ subject, who string }{
	// Control.
	{"spot.control.experiment.start", "o"},
	{"spot.control.experiment.stop", "o"},
	{"spot.control.experiment.accepted", "t"},
	{"spot.control.experiment.refused", "t"},
	{"spot.control.experiment.other", ""},
	{"spot.control.service.roll_called", "to"},
	{"spot.control.service.present", ""},
	{"spot.control.service.present.trace-replayer", "t"},
	{"spot.control.service.present.planner", "p"},
	{"spot.control.service.present.collector", "c"},
	{"spot.control.service.present.worker.node-0", "w"},
	{"spot.control.service.present.worker.node-1", "x"},
	{"spot.control.service.present.worker.node-0.more", ""},
	// Runs.
	{"spot.run.r-1.fleet.run_started", "t"},
	{"spot.run.r-1.fleet.instance_acquired", "t"},
	{"spot.run.r-1.fleet.preemption_noticed", "t"},
	{"spot.run.r-1.fleet.instance_lost", "tp"},
	{"spot.run.r-1.request.arrived", "toa"},
	{"spot.run.r-1.request.request_arrived", "t"},
	{"spot.run.r-1.plan.config_chosen", "p"},
	{"spot.run.r-1.plan.run_finished", "p"},
	{"spot.run.r-1.worker.node-0.cmd.apply_migration", "p"},
	{"spot.run.r-1.worker.node-0.fact.tokens_committed", "w"},
	{"spot.run.r-1.worker.node-0.fact.preemption_noticed", "w"},
	{"spot.run.r-1.worker.node-1.fact.tokens_committed", "x"},
	{"spot.run.r-1.worker.node-1.fact.preemption_noticed", "x"},
	{"spot.run.r-1.worker.node-2.fact.tokens_committed", ""},
	{"spot.run.r-1.worker.node-0.other", ""},
	{"spot.run.r-1.cloud.request_fleet", "p"},
	{"spot.run.r-1.timer.timer_fired", "p"},
	{"spot.run.r-1.timer.planner_elected", "p"},
	{"spot.run.r-1.record.run_recorded", "c"},
	{"spot.run.r-1.other.kind", ""},
	{"spot.run.r-1", ""},
	// Signals.
	{"spot.signal.heartbeat.worker", ""},
	{"spot.signal.heartbeat.worker.node-0", "w"},
	{"spot.signal.heartbeat.worker.node-1", "x"},
	{"spot.signal.heartbeat.watch", "p"},
	{"spot.signal.alarm.store_away", "c"},
	{"spot.signal.other", ""},
	// Keys: leases, addresses.
	{"$KV.SPOT_KEYS.trace-replayer", "t"},
	{"$KV.SPOT_KEYS.planner", "p"},
	{"$KV.SPOT_KEYS.collector", "c"},
	{"$KV.SPOT_KEYS.data.node-0", "w"},
	{"$KV.SPOT_KEYS.data.node-1", "x"},
	{"$KV.SPOT_KEYS.other", ""},
	{"$KV.OTHER.planner", ""},
	{"$JS.API.DIRECT.GET.KV_SPOT_KEYS.$KV.SPOT_KEYS.trace-replayer", "to"},
	{"$JS.API.DIRECT.GET.KV_SPOT_KEYS.$KV.SPOT_KEYS.planner", "po"},
	{"$JS.API.DIRECT.GET.KV_SPOT_KEYS.$KV.SPOT_KEYS.collector", "co"},
	{"$JS.API.DIRECT.GET.KV_SPOT_KEYS.$KV.SPOT_KEYS.data.node-1", "wxo"},
	{"$JS.API.DIRECT.GET.KV_SPOT_KEYS", ""},
	{"$JS.API.DIRECT.GET.SPOT_RUNS.spot.run.r-1.plan.run_finished", ""},
	// Streams.
	{"$JS.API.INFO", everybody},
	{"$JS.API.STREAM.INFO.SPOT_CONTROL", everybody},
	{"$JS.API.STREAM.INFO.SPOT_RUNS", everybody},
	{"$JS.API.STREAM.INFO.KV_SPOT_KEYS", everybody},
	{"$JS.API.STREAM.INFO.OTHER", ""},
	{"$JS.API.STREAM.CREATE.SPOT_CONTROL", "tpco"},
	{"$JS.API.STREAM.CREATE.SPOT_RUNS", "tpco"},
	{"$JS.API.STREAM.CREATE.KV_SPOT_KEYS", "tpco"},
	{"$JS.API.STREAM.CREATE.OTHER", ""},
	{"$JS.API.STREAM.UPDATE.SPOT_CONTROL", "co"},
	{"$JS.API.STREAM.UPDATE.SPOT_RUNS", "co"},
	{"$JS.API.STREAM.UPDATE.KV_SPOT_KEYS", "co"},
	{"$JS.API.STREAM.PURGE.SPOT_CONTROL", "c"},
	{"$JS.API.STREAM.PURGE.SPOT_RUNS", "c"},
	{"$JS.API.STREAM.PURGE.KV_SPOT_KEYS", ""},
	{"$JS.API.STREAM.DELETE.SPOT_CONTROL", ""},
	{"$JS.API.STREAM.DELETE.SPOT_RUNS", ""},
	{"$JS.API.STREAM.DELETE.KV_SPOT_KEYS", ""},
	{"$JS.API.STREAM.MSG.DELETE.SPOT_RUNS", ""},
	{"$JS.API.STREAM.SNAPSHOT.SPOT_RUNS", "o"},
	{"$JS.API.STREAM.SNAPSHOT.SPOT_CONTROL", "o"},
	{"$JS.API.STREAM.SNAPSHOT.KV_SPOT_KEYS", ""},
	{"$JS.SNAPSHOT.ACK.SPOT_RUNS.drawn", "o"},
	{"$JS.API.STREAM.RESTORE.SPOT_RUNS", ""},
	{"$JS.API.STREAM.LEADER.STEPDOWN.SPOT_RUNS", ""},
	{"$JS.API.STREAM.PEER.REMOVE.SPOT_RUNS", ""},
	{"$JS.API.STREAM.LIST", "o"},
	{"$JS.API.STREAM.NAMES", "o"},
	{"$JS.API.STREAM.MSG.GET.SPOT_CONTROL", "tco"},
	{"$JS.API.STREAM.MSG.GET.SPOT_RUNS", "tpwxco"},
	{"$JS.API.STREAM.MSG.GET.KV_SPOT_KEYS", ""},
	// Readers.
	{"$JS.API.CONSUMER.CREATE.SPOT_RUNS", ""},
	{"$JS.API.CONSUMER.CREATE.SPOT_RUNS.drawn", "tpwxco"},
	{"$JS.API.CONSUMER.CREATE.SPOT_RUNS.drawn.spot.run.*.plan.>", "tpwxcoa"},
	{"$JS.API.CONSUMER.CREATE.SPOT_RUNS.drawn.spot.run.*.worker.>", "tpwxco"},
	{"$JS.API.CONSUMER.CREATE.SPOT_RUNS.drawn.spot.run.*.record.>", "tpwxco"},
	{"$JS.API.CONSUMER.CREATE.SPOT_CONTROL.drawn", "tco"},
	{"$JS.API.CONSUMER.CREATE.SPOT_CONTROL.drawn.spot.control.service.roll_called", "tpwxco"},
	{"$JS.API.CONSUMER.CREATE.SPOT_CONTROL.drawn.spot.control.experiment.start", "tco"},
	{"$JS.API.CONSUMER.CREATE.KV_SPOT_KEYS.drawn", ""},
	{"$JS.API.CONSUMER.DURABLE.CREATE.SPOT_RUNS.drawn", ""},
	{"$JS.API.CONSUMER.MSG.NEXT.SPOT_RUNS.drawn", "tpwxcoa"},
	{"$JS.API.CONSUMER.MSG.NEXT.SPOT_CONTROL.drawn", "tpwxco"},
	{"$JS.API.CONSUMER.DELETE.SPOT_RUNS.drawn", "tpwxcoa"},
	{"$JS.API.CONSUMER.DELETE.SPOT_CONTROL.drawn", "tpwxco"},
	{"$JS.API.CONSUMER.INFO.SPOT_RUNS.drawn", "o"},
	{"$JS.API.CONSUMER.LIST.SPOT_RUNS", "o"},
	{"$JS.API.CONSUMER.NAMES.SPOT_RUNS", "o"},
	{"$JS.API.CONSUMER.PAUSE.SPOT_RUNS.drawn", ""},
	{"$JS.API.CONSUMER.RESET.SPOT_RUNS.drawn", ""},
	{"$JS.ACK.SPOT_RUNS.drawn.1.1.1.1.1", ""},
	// The places of collector and plotter.
	{"$JS.API.CONSUMER.CREATE.SPOT_RUNS.collector-runs", "c"},
	{"$JS.API.CONSUMER.CREATE.SPOT_RUNS.collector-runs.spot.run.*.plan.>", "c"},
	{"$JS.API.CONSUMER.DURABLE.CREATE.SPOT_RUNS.collector-runs", ""},
	{"$JS.API.CONSUMER.MSG.NEXT.SPOT_RUNS.collector-runs", "c"},
	{"$JS.API.CONSUMER.INFO.SPOT_RUNS.collector-runs", "co"},
	{"$JS.API.CONSUMER.DELETE.SPOT_RUNS.collector-runs", ""},
	{"$JS.ACK.SPOT_RUNS.collector-runs.1.1.1.1.1", "c"},
	{"$JS.API.CONSUMER.CREATE.SPOT_CONTROL.collector-control", "c"},
	{"$JS.API.CONSUMER.CREATE.SPOT_CONTROL.collector-control.spot.control.service.roll_called", "c"},
	{"$JS.API.CONSUMER.MSG.NEXT.SPOT_CONTROL.collector-control", "c"},
	{"$JS.API.CONSUMER.INFO.SPOT_CONTROL.collector-control", "co"},
	{"$JS.API.CONSUMER.DELETE.SPOT_CONTROL.collector-control", ""},
	{"$JS.ACK.SPOT_CONTROL.collector-control.1.1.1.1.1", "c"},
	{"$JS.API.CONSUMER.CREATE.SPOT_RUNS.plotter", ""},
	{"$JS.API.CONSUMER.CREATE.SPOT_RUNS.plotter.spot.run.*.record.>", "l"},
	{"$JS.API.CONSUMER.CREATE.SPOT_RUNS.plotter.spot.run.*.plan.>", ""},
	{"$JS.API.CONSUMER.MSG.NEXT.SPOT_RUNS.plotter", "l"},
	{"$JS.API.CONSUMER.INFO.SPOT_RUNS.plotter", "lo"},
	{"$JS.API.CONSUMER.DELETE.SPOT_RUNS.plotter", ""},
	{"$JS.ACK.SPOT_RUNS.plotter.1.1.1.1.1", "l"},
	// The server itself, inboxes, and everything else.
	{"$SYS.REQ.USER.INFO", everybody},
	{"$SYS.REQ.SERVER.PING", ""},
	{"$SYS.REQ.ACCOUNT.SPOT.CONNZ", ""},
	{"$SYS.ACCOUNT.SPOT.CONNECT", ""},
	{"$JS.API.META.LEADER.STEPDOWN", ""},
	{"$JS.API.ACCOUNT.PURGE.SPOT", ""},
	{"$JS.API.SERVER.REMOVE", ""},
	{"$JS.EVENT.ADVISORY.API", ""},
	{"$JS.OTHER.API.STREAM.PURGE.SPOT_RUNS", ""},
	{"{own}.drawn", ""},
	{"{other}.drawn", ""},
	{"elsewhere", ""},
}

// hearing is the same for who may subscribe.
var hearing = []struct{ subject, who string }{
	{"{own}.*", everybody},
	{"{own}.>", everybody},
	{"{other}.*", ""},
	{"_INBOX.>", ""},
	{"spot.>", "o"},
	{"spot.control.>", "o"},
	{"spot.run.>", "o"},
	{"spot.run.r-1.worker.node-0.cmd.>", "o"},
	{"spot.run.r-1.plan.>", "o"},
	{"spot.signal.heartbeat.>", "po"},
	{"spot.signal.alarm.store_away", "o"},
	{"$KV.SPOT_KEYS.>", ""},
	{"$JS.ACK.>", ""},
	{"$JS.API.>", ""},
	{"$JS.EVENT.ADVISORY.>", ""},
	{"$SYS.>", ""},
	{"*", ""},
	{">", ""},
}

// TestRights has every user try every class of subjects: what it may, the server
// takes, and everything else it refuses.
func TestRights(t *testing.T) {
	s := newSite(t, "node-0", "node-1")
	for _, letter := range slices.Sorted(maps.Keys(letters)) {
		name := letters[letter]
		t.Run(name, func(t *testing.T) {
			own, others := inbox(s, name), inbox(s, "planner")
			if name == "planner" {
				others = inbox(s, "client")
			}
			spell := strings.NewReplacer("{own}", own, "{other}", others)
			try := func(verb, subject, who string, do func(*nats.Conn, string) error) {
				t.Helper()
				subject = spell.Replace(subject)
				refused := refusal(t, s.raw(name), subject, do)
				if may := strings.ContainsRune(who, letter); refused == may {
					t.Errorf("%s to %s: refused is %t; want %t", verb, subject, refused, !may)
				}
			}
			for _, r := range rights {
				try("publish", r.subject, r.who, func(nc *nats.Conn, subject string) error { return nc.Publish(subject, []byte("x")) })
			}
			for _, h := range hearing {
				try("listen", h.subject, h.who, func(nc *nats.Conn, subject string) error {
					_, err := nc.SubscribeSync(subject)
					return err
				})
			}
		})
	}
}

func inbox(s *site, name string) string { return "_INBOX." + s.users[name].Key }

// refusal does something on a connection of its own, and reports whether the
// server said that the subject is not allowed.
func refusal(t *testing.T, nc *nats.Conn, subject string, do func(*nats.Conn, string) error) bool {
	t.Helper()
	defer nc.Close()
	if err := do(nc, subject); err != nil {
		t.Fatal(err)
	}
	// The server answers in order: after the flush it has said all.
	if err := nc.FlushTimeout(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	err := nc.LastError()
	if err == nil {
		return false
	}
	if !strings.Contains(strings.ToLower(err.Error()), "permissions violation") || !strings.Contains(err.Error(), strconv.Quote(subject)) {
		t.Fatalf("%s: %v", subject, err)
	}
	return true
}
