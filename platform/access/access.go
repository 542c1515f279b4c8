// Package access says who may do what on the bus: one table, a role a row. The
// NATS server's configuration, the documentation and the tests are made of it.
//
// A role gets what its service does and nothing else, by the filters and subjects
// that the service itself uses. What a role reads of a stream by several filters
// at once cannot be narrowed: such filters are in a request, where the server
// compares no permissions.
package access

import (
	"strings"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/platform/alarm"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/bus/jsapi"
	"github.com/spotserve/spotserve/platform/heartbeat"
	"github.com/spotserve/spotserve/platform/wire"
)

// Role is what a user of the bus is.
type Role string

// The roles.
const (
	TraceReplayer Role = "trace-replayer"
	Planner       Role = "planner"
	Worker        Role = "worker" // of one node
	Collector     Role = "collector"
	Plotter       Role = "plotter"
	Operator      Role = "operator" // starts and stops runs, and reads everything
	Client        Role = "client"   // asks runs, and reads their answers
)

// Roles are all of them, in the order of the documentation.
func Roles() []Role {
	return []Role{TraceReplayer, Planner, Worker, Collector, Plotter, Operator, Client}
}

// every stands for any one token: of a run, a node, a consumer.
const every = "*"

// Grant is subjects that belong together.
type Grant struct {
	What     string // in words
	Subjects []string
}

// Grants are what a user may do. Nothing else is allowed.
type Grants struct {
	Publish   []Grant
	Subscribe []Grant
	// Deny goes before Publish: the durable consumers of others, whom a wildcard
	// of Publish would cover.
	Deny []Grant
}

// Of returns the grants of a role's user, who gets answers below inbox. node is
// the worker's, as it is spelled, and empty for the others.
func Of(role Role, node, inbox string) Grants {
	g := Grants{Subscribe: []Grant{{"answers to its own questions", []string{inbox + ".>"}}}}
	g.add("whether there are streams", jsapi.Info, jsapi.StreamInfo(string(bus.Control)), jsapi.StreamInfo(string(bus.Runs)), jsapi.StreamInfo(keyStream))
	g.add("who it is to the server", jsapi.UserInfo)
	switch role {
	case TraceReplayer:
		g.add("answers to starts", wire.SubjectAccepted, wire.SubjectRefused)
		g.add("roll calls", wire.SubjectRollCalled)
		g.add("presence", present("trace-replayer", ""))
		g.add("facts of the fleet, of the cloud too", wire.FleetFilter(every))
		g.add("arrivals", wire.RequestFilter(every))
		g.lease(LeaseTraceReplayer)
		g.makeStreams()
		g.read(bus.Control)
		g.read(bus.Runs)
	case Planner:
		g.add("plans", wire.PlanFilter(every))
		g.add("commands to workers", wire.CommandFilter(every, every))
		g.add("what it asks the cloud for", wire.CloudFilter(every))
		g.add("timers and elections", wire.TimerFilter(every))
		g.add("the loss of a node that cannot say it", wire.LossFilter(every))
		g.add("presence", present("planner", ""))
		g.add("the beat of its watch", heartbeat.WatchSubject)
		g.lease(LeasePlanner)
		g.makeStreams()
		g.readOne(bus.Control, wire.SubjectRollCalled)
		g.read(bus.Runs)
		g.hear("heartbeats", heartbeat.Filter)
	case Worker:
		g.add("facts of its node", wire.FactFilter(every, node))
		g.add("presence", present("worker", node))
		g.add("heartbeat", heartbeat.Subject(node))
		g.add("the address of its data plane", jsapi.Key(bus.Keys, AddressKey(node)))
		g.add("reads the addresses of the others", jsapi.DirectGet(keyStream, jsapi.Key(bus.Keys, AddressKey(every))))
		g.readOne(bus.Control, wire.SubjectRollCalled)
		g.read(bus.Runs)
	case Collector:
		g.add("its word on a run's rows", wire.RecordFilter(every))
		g.add("presence", present("collector", ""))
		g.add("the alarm that the store is away", alarm.StoreAway)
		g.lease(LeaseCollector)
		g.makeStreams()
		g.add("changes the settings of streams", updates()...)
		g.add("purges what is too old", jsapi.StreamPurge(string(bus.Control)), jsapi.StreamPurge(string(bus.Runs)))
		g.read(bus.Control)
		g.read(bus.Runs)
		g.consume(CollectorRuns, "")
		g.consume(CollectorControl, "")
	case Plotter:
		g.consume(PlotterRuns, wire.RecordFilter(every))
	case Operator:
		g.add("starts and stops", wire.SubjectStart, wire.SubjectStop)
		g.add("requests", wire.UserRequests(every))
		g.add("roll calls", wire.SubjectRollCalled)
		g.makeStreams()
		g.add("changes the settings of streams", updates()...)
		g.read(bus.Control)
		g.read(bus.Runs)
		for _, s := range []bus.Stream{bus.Control, bus.Runs} {
			g.add("backs "+string(s)+" up", jsapi.StreamSnapshot(string(s)), jsapi.SnapshotAcks(string(s)))
		}
		g.add("reads all keys", jsapi.DirectGet(keyStream, jsapi.Key(bus.Keys, ">")))
		g.add("lists streams and consumers", jsapi.StreamList, jsapi.StreamNames,
			jsapi.ConsumerList(every), jsapi.ConsumerNames(every), jsapi.ConsumerInfo(every, every))
		g.hear("everything that is said", "spot.>")
	case Client:
		g.add("requests", wire.UserRequests(every))
		g.readOne(bus.Runs, wire.PlanFilter(every))
	}
	g.denyDurables(role)
	return g
}

var keyStream = jsapi.KeyStream(bus.Keys)

func (g *Grants) add(what string, subjects ...string) {
	g.Publish = append(g.Publish, Grant{what, subjects})
}

func (g *Grants) hear(what string, subjects ...string) {
	g.Subscribe = append(g.Subscribe, Grant{what, subjects})
}

// lease lets a role hold a lease.
func (g *Grants) lease(name string) {
	key := jsapi.Key(bus.Keys, name)
	g.add("its lease", key, jsapi.DirectGet(keyStream, key))
}

func streams() []string { return []string{string(bus.Control), string(bus.Runs), keyStream} }

// makeStreams lets a role make the streams that are not there. It changes none
// that is.
func (g *Grants) makeStreams() {
	var subjects []string
	for _, s := range streams() {
		subjects = append(subjects, jsapi.StreamCreate(s))
	}
	g.add("makes streams that are not there", subjects...)
}

func updates() (subjects []string) {
	for _, s := range streams() {
		subjects = append(subjects, jsapi.StreamUpdate(s))
	}
	return subjects
}

// read lets a role read a stream by any filters.
func (g *Grants) read(s bus.Stream) {
	name := string(s)
	g.add("reads "+name, append(consumers(name), jsapi.ConsumerCreate(name, ">"), jsapi.MessageGet(name))...)
}

// readOne lets a role read what one filter selects.
func (g *Grants) readOne(s bus.Stream, filter string) {
	name := string(s)
	g.add("reads "+filter, append(consumers(name), jsapi.ConsumerCreateFor(name, every, filter))...)
}

// consumers is what a reader needs of its consumers, whose names are drawn.
func consumers(stream string) []string {
	return []string{jsapi.ConsumerNext(stream, every), jsapi.ConsumerDelete(stream, every)}
}

// consume lets a role consume under its durable name, by one filter or, if that
// is empty, by several.
func (g *Grants) consume(d Durable, filter string) {
	name := string(d.Stream)
	create := jsapi.ConsumerCreate(name, d.Name)
	if filter != "" {
		create = jsapi.ConsumerCreateFor(name, d.Name, filter)
	}
	g.add("consumes as "+d.Name, create, jsapi.ConsumerNext(name, d.Name), jsapi.ConsumerInfo(name, d.Name), jsapi.Acks(name, d.Name))
}

// denyDurables keeps the durable consumers from all but their owners. Nobody
// deletes one.
func (g *Grants) denyDurables(role Role) {
	for _, d := range Durables() {
		name := string(d.Stream)
		deny := []string{jsapi.ConsumerDelete(name, d.Name)}
		if d.Owner != role {
			deny = append(deny, jsapi.ConsumerCreate(name, d.Name), jsapi.ConsumerCreateFor(name, d.Name, ">"), jsapi.ConsumerNext(name, d.Name))
		}
		g.Deny = append(g.Deny, Grant{"the place of " + d.Name, deny})
	}
}

// present is the subject of an answer to a roll call.
func present(service, node string) string {
	who := event.ServicePresent{Service: service}
	if node != "" {
		who.Nodes = []string{node}
	}
	subject, err := wire.ControlSubject(who)
	if err != nil {
		return "none" // of a name that no service has; a test asks for all roles
	}
	return subject
}

// User is one user of the bus.
type User struct {
	Role Role
	Node string // of a worker
	Key  string // its public nkey
}

// Name is the user's in messages, and that of the folder with its credentials.
func (u User) Name() string {
	if u.Role != Worker {
		return string(u.Role)
	}
	return string(Worker) + "-" + plain(u.Node)
}

// plain is a node's name where a folder can be called so, else its token, which
// no other node's name is.
func plain(node string) string {
	if strings.ContainsFunc(node, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-_.", r))
	}) {
		return wire.NodeToken(node)
	}
	return node
}
