package doctor

import (
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/platform/access"
	"github.com/spotserve/spotserve/platform/store"
)

// Seen is what was seen of a deployment. An error says why a part was not seen.
type Seen struct {
	At      time.Time // by this host's clock
	Skew    *Skew     // of this host's clock; nil: not known
	Servers []Server  // those that the URL names, in its order
	User    User
	Account Account
	// Monitors are the monitoring endpoints of NATS servers, where any are named.
	Monitors []Monitor
	Streams  []Stream
	Keys     Keys
	Roll     Roll
	Beats    Beats
	// Expected are the nodes that have to have a worker.
	Expected []string
	// Planes are the data planes of the address book.
	Planes       []Plane
	Store        Store
	Runs         Runs
	Endpoints    []Endpoint
	Certificates []Certificate
}

// Skew is how far this host's clock is ahead of that of NATS, give or take Within.
type Skew struct{ Offset, Within time.Duration }

// Server is one NATS server.
type Server struct {
	URL      string // without a password
	Err      error
	Name     string
	Version  string
	Cluster  string
	TLS      string // version; empty: plain text
	Loopback bool
}

// User is who the credentials are to NATS, and what it may do, by the server's own
// word.
type User struct {
	Err     error
	Name    string // nkey or name; empty: nobody has to say who they are
	Account string
	Role    access.Role // by this process's certificate; empty: not known
	Node    string      // of a worker
	// What the user may publish and subscribe to; nothing of it counts unless
	// Limited.
	Limited                   bool
	MayPublish, MayNotPublish []string
	MaySubscribe              []string
}

// Account is JetStream as the user's account has it.
type Account struct {
	Err   error
	Off   bool // JetStream is
	Usage jetstream.AccountInfo
}

// Monitor is what a NATS server says of itself over HTTP.
type Monitor struct {
	URL          string
	Err          error
	Server       string
	SyncInterval time.Duration
	SyncAlways   bool
	StoreMax     int64 // bytes that all streams may take
	StoreUsed    int64
	SlowClients  int64
}

// Stream is one stream with its durable consumers. Info is nil if it is not there.
type Stream struct {
	Name     string
	Bucket   bool     // it holds keys, not messages
	Subjects []string // that it has to store
	// MaxMessage is the size, in bytes, that its messages have to be bounded to; 0:
	// any.
	MaxMessage int32
	Err        error
	Info       *jetstream.StreamInfo
	// Durables are those that services have; what is in Consumers may be less.
	Durables     []Durable
	Consumers    []*jetstream.ConsumerInfo
	ConsumersErr error
}

// Durable is a place in a stream that a service has.
type Durable struct {
	Name, Service string
}

// Keys are the leases of the bucket.
type Keys struct {
	Err    error
	Leases []Lease
}

// Lease says which process leads a service.
type Lease struct {
	Service string
	Err     error
	Missing bool // nobody ever held it
	Holder  string
	Renewed time.Time // by the server's clock
	Now     time.Time // likewise
}

// Roll is who answers a roll call.
type Roll struct {
	Err     error
	Present []Present
}

// Present is one answer to a roll call.
type Present struct {
	event.ServicePresent
	Heard time.Time // by this host's clock
	Clock time.Time // when it was sent, by the service's own clock; zero: not said
}

// Beats are the signals that were heard while it was listened.
type Beats struct {
	Err       error
	Nodes     map[string]bool // whose workers beat
	StoreAway bool            // the collector says that the store takes no rows
}

// Plane is the data plane of a node, as the address book has it.
type Plane struct {
	Node, Address string
	Err           error  // of the dial
	Refused       string // of the greeting: not TLS, another's certificate
	TLS           bool
	Wanted        bool // the node has a part in a run that computes
}

// Store is the SQL store.
type Store struct {
	URL       string // without a password
	Err       error
	Schema    int // of the store
	Known     int // to this build
	SchemaErr error
	Rights    string // of this user, "reads" or "reads and writes"; empty: not known
	RightsErr error
	TLS       bool
	Plain     bool // another host is reached without TLS
}

// Runs are those that have not ended, by the store.
type Runs struct {
	Err  error
	Open []Run
}

// Run is one that waits or goes on.
type Run struct {
	store.Run
	Err      error
	Messages bool      // there are any on the bus
	LastSaid time.Time // by the server's clock
	Ended    time.Time // of its end on the bus; zero: it goes on
	Nodes    []string  // that it has, by its start
	Measured bool
	Now      time.Time // by the server's clock
	Started  time.Time // of its start's message, by the server's clock
	Clock    time.Time // likewise, by the trace-replayer's own
}

// Endpoint is where a service serves metrics and readiness.
type Endpoint struct {
	URL        string
	Err        error
	Ready      bool
	Unmet      []string
	MetricsErr error
}

// Certificate is one that is used in the deployment.
type Certificate struct {
	Whose               string // "this process", "NATS nats-1:4222"
	Err                 error
	NotBefore, NotAfter time.Time
}

// DeniedError says that the server does not let this user use a subject.
type DeniedError struct{ Subject string }

// Error implements error.
func (e *DeniedError) Error() string {
	return fmt.Sprintf("NATS does not let this user use %s", e.Subject)
}

func deniedIn(err error) (subject string, ok bool) {
	if denied, ok := errors.AsType[*DeniedError](err); ok {
		return denied.Subject, true
	}
	return "", false
}
