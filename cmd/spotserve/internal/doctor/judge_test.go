package doctor

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/platform/access"
	"github.com/spotserve/spotserve/platform/store"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// well is a deployment in which nothing is wrong.
func well() Seen {
	who := access.User{Role: access.Operator, Key: "UKEY"}
	grants := who.Grants()
	s := Seen{
		At: now, Skew: &Skew{Offset: time.Millisecond, Within: time.Millisecond},
		Servers: []Server{{URL: "tls://nats-1:4222", Name: "nats-1", Version: "2.11.3", TLS: "TLS 1.3"}},
		User: User{
			Name: "UKEY", Account: "SPOT", Role: access.Operator, Limited: true,
			MayPublish: all(grants.Publish), MayNotPublish: all(grants.Deny), MaySubscribe: all(grants.Subscribe),
		},
		Beats:        Beats{Nodes: map[string]bool{"node-0": true}},
		Store:        Store{URL: "clickhouse://reader@clickhouse:9440/spotserve", Schema: 3, Known: 3, TLS: true},
		Certificates: []Certificate{{Whose: "NATS", NotBefore: now.Add(-time.Hour), NotAfter: now.Add(300 * 24 * time.Hour)}},
	}
	for service := range needed {
		p := Present{ServicePresent: event.ServicePresent{Service: service, Schema: event.SchemaVersion}, Heard: now, Clock: now}
		if service == "worker" {
			p.Nodes = []string{"node-0"}
		}
		s.Roll.Present = append(s.Roll.Present, p)
	}
	s.Streams = []Stream{{
		Name: "SPOT_RUNS", Subjects: []string{"spot.run.>"}, Durables: []Durable{{"plotter", "plotter"}},
		Info:      &jetstream.StreamInfo{Config: jetstream.StreamConfig{Subjects: []string{"spot.run.>"}, Storage: jetstream.FileStorage, Duplicates: time.Hour}},
		Consumers: []*jetstream.ConsumerInfo{{Name: "plotter", NumWaiting: 1, TimeStamp: now}},
	}}
	return s
}

// TestJudge changes one thing of a deployment that is well.
func TestJudge(t *testing.T) {
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	running := func(change func(*Run)) func(*Seen) {
		return func(s *Seen) {
			x := Run{Run: store.Run{Run: "e2e-1", Status: "running"}, Messages: true, Now: now, LastSaid: ago(time.Second)}
			change(&x)
			s.Runs.Open = []Run{x}
		}
	}
	at := func(s *Seen, service string) *Present {
		return &s.Roll.Present[slices.IndexFunc(s.Roll.Present, func(p Present) bool { return p.Service == service })]
	}
	for _, c := range []struct {
		name   string
		change func(*Seen)
		status Status // "": nothing is wrong
		check  string
		found  string
		mend   string
	}{
		{"well", func(*Seen) {}, "", "", "", ""},
		{"an old server", func(s *Seen) { s.Servers[0].Version = "2.9.25" }, Failed, "nats tls://nats-1:4222", "too old", "2.10"},
		{"servers of two versions", func(s *Seen) {
			s.Servers = append(s.Servers, Server{URL: "tls://nats-2:4222", Version: "2.12.0", TLS: "TLS 1.3"})
		}, Warning, "nats versions", "2 versions", "one after the other"},
		{"plain text", func(s *Seen) { s.Servers[0].TLS = "" }, Warning, "nats tls://nats-1:4222", "plain text to another host", "deploy keys"},
		{"nobody says who they are", func(s *Seen) { s.User = User{} }, Warning, "nats user", "nobody has to say", "--nats-nkey"},
		{"no limits", func(s *Seen) { s.User.Limited = false }, Warning, "nats user", "may do everything", "auth.conf"},
		{"too little", func(s *Seen) { s.User.MaySubscribe = nil }, Failed, "nats user", "may not use _INBOX.UKEY.>, spot.>", "reload"},
		{"too much", func(s *Seen) { s.User.MayPublish = append(s.User.MayPublish, "spot.>") }, Warning, "nats user", "may use spot.>", "reload"},
		{"a place of others", func(s *Seen) { s.User.MayNotPublish = nil }, Warning, "nats user", "and 9 more", "reload"},
		{"a full account", func(s *Seen) { s.Account.Usage.Store, s.Account.Usage.Limits.MaxStore = 96, 100 }, Failed, "jetstream", "96 B of 100 B", "--retention"},
		{"an account that fills", func(s *Seen) { s.Account.Usage.Store, s.Account.Usage.Limits.MaxStore = 85, 100 }, Warning, "jetstream", "85 B of 100 B", "--retention"},
		{"clients that are slow", func(s *Seen) { s.Monitors = []Monitor{{URL: "x", SyncAlways: true, SlowClients: 2}} }, Warning, "nats monitor x", "cut off 2 clients", "overloaded"},
		{"a stream without leader", func(s *Seen) { s.Streams[0].Info.Cluster = &jetstream.ClusterInfo{} }, Failed, "stream SPOT_RUNS", "no server leads it", "more than half"},
		{"a server behind", func(s *Seen) {
			s.Streams[0].Info.Cluster = &jetstream.ClusterInfo{Leader: "nats-1", Replicas: []*jetstream.PeerInfo{{Name: "nats-2", Lag: 20_000}}}
		}, Warning, "stream SPOT_RUNS", "nats-2, which keeps it, is 20000 operations behind", "start or mend"},
		{"two replicas", func(s *Seen) { s.Streams[0].Info.Config.Replicas = 2 }, Warning, "stream SPOT_RUNS", "no safer than 1", "--stream-replicas 3"},
		{"a reader that stands still", func(s *Seen) {
			old := ago(5 * time.Minute)
			s.Streams[0].Consumers[0].NumPending, s.Streams[0].Consumers[0].AckFloor.Last = 7, &old
		}, Failed, "consumer plotter", "7 messages wait, and none was dealt with for 5m0s", "log of the plotter"},
		{"a reader at work", func(s *Seen) {
			just := ago(time.Second)
			s.Streams[0].Consumers[0].NumPending, s.Streams[0].Consumers[0].AckFloor.Last = 7, &just
		}, "", "", "", ""},
		{"a reader with much to do", func(s *Seen) {
			just := ago(time.Second)
			s.Streams[0].Consumers[0].NumPending, s.Streams[0].Consumers[0].AckFloor.Last = 1e6, &just
		}, Warning, "consumer plotter", "1000000 messages wait", "does it get less"},
		{"a lease that lags", func(s *Seen) {
			s.Keys.Leases = []Lease{{Service: "planner", Holder: "a/1", Renewed: ago(4 * time.Second), Now: now}}
		}, Warning, "lease planner", "about to take over", "look again"},
		{"a lease that nobody held", func(s *Seen) { s.Keys.Leases = []Lease{{Service: "planner", Missing: true}} }, Failed, "lease planner", "no planner has ever led", "start a planner"},
		{"a service's clock", func(s *Seen) { at(s, "planner").Clock = ago(3 * time.Second) }, Failed, "clock of planner", "-2.999s off", "NTP"},
		{"a worker's clock", func(s *Seen) { at(s, "worker").Clock = now.Add(time.Second) }, Warning, "clock of worker node-0", "1.001s off", "NTP"},
		{"an own clock", func(s *Seen) {
			s.Skew = &Skew{Offset: -time.Minute, Within: time.Millisecond}
			for i := range s.Roll.Present { // what it hears it hears by its own clock
				s.Roll.Present[i].Heard = s.Roll.Present[i].Heard.Add(-time.Minute)
			}
		}, Failed, "clock of this host", "-1m0s off", "NTP"},
		{"a long way to NATS", func(s *Seen) {
			s.Skew = &Skew{Offset: 3 * time.Second, Within: 3 * time.Second}
			s.Roll.Present = withoutClocks(s.Roll.Present)
		}, "", "", "", ""},
		{"the next schema", func(s *Seen) { at(s, "collector").Schema++ }, Warning, "service collector", "schema version", "go on with the upgrade"},
		{"two schemas away", func(s *Seen) { at(s, "collector").Schema += 2 }, Failed, "service collector", "do not understand each other", "at most one"},
		{"an older store", func(s *Seen) { s.Store.Schema = 2 }, Warning, "store schema", "has schema 2", "start a collector of this build"},
		{"a newer store", func(s *Seen) { s.Store.Schema = 4 }, Warning, "store schema", "of a newer build", "newest collector"},
		{"a store in plain text", func(s *Seen) { s.Store.Plain = true }, Warning, "store", "plain text", "secure=true"},
		{"a run that goes on", running(func(*Run) {}), "", "", "", ""},
		{"a run that is silent", running(func(x *Run) { x.LastSaid = ago(time.Hour) }), Warning, "run e2e-1", "for 1h0m0s", "spotserve stop e2e-1"},
		{"a run whose end is not stored", running(func(x *Run) { x.Ended = ago(time.Hour) }), Failed, "run e2e-1", "its end is not stored", "log of the collector"},
		{"a run that has just ended", running(func(x *Run) { x.Ended = ago(time.Second) }), "", "", "", ""},
		{"a data plane without TLS", func(s *Seen) { s.Planes = []Plane{{Node: "node-0", Address: "x:1", Wanted: true}} }, Warning, "data plane node-0", "plain text", "--tls-cert"},
		{"a data plane of nobody", func(s *Seen) { s.Planes = []Plane{{Node: "node-9", Address: "x:1"}} }, Warning, "data plane node-9", "no worker answers", "nats kv del SPOT_KEYS data.node-9"},
		{"a certificate that ended", func(s *Seen) { s.Certificates[0].NotAfter = ago(time.Hour) }, Failed, "certificate of NATS", "expired", "--renew"},
		{"a certificate that ends", func(s *Seen) { s.Certificates[0].NotAfter = now.Add(time.Minute) }, Warning, "certificate of NATS", "in 1m0s", "--renew"},
		{"a certificate of tomorrow", func(s *Seen) { s.Certificates[0].NotBefore = now.Add(time.Hour) }, Failed, "certificate of NATS", "holds from", "clock"},
		{"a certificate for a day", func(s *Seen) { s.Certificates[0].NotAfter = now.Add(10 * time.Hour) }, "", "", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := well()
			c.change(&s)
			var wrong []Finding
			for _, f := range Judge(s).Findings {
				if f.Status != OK {
					wrong = append(wrong, f)
				}
			}
			if c.status == "" {
				if len(wrong) > 0 {
					t.Errorf("it says %+v, want nothing", wrong)
				}
				return
			}
			if len(wrong) != 1 || wrong[0].Status != c.status || wrong[0].Check != c.check || !strings.Contains(wrong[0].Found, c.found) || !strings.Contains(wrong[0].Mend, c.mend) {
				t.Errorf("it says %+v, want one %s of %q, %q, to mend by %q", wrong, c.status, c.check, c.found, c.mend)
			}
		})
	}
}

// withoutClocks are answers that say no time.
func withoutClocks(present []Present) []Present {
	for i := range present {
		present[i].Clock = time.Time{}
	}
	return present
}
