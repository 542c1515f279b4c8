package look_test

import (
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"github.com/spotserve/spotserve/cmd/spotserve/internal/doctor"
	"github.com/spotserve/spotserve/cmd/spotserve/internal/doctor/look"
	"github.com/spotserve/spotserve/cmd/spotserve/internal/doctor/look/looktest"
)

// empty are the options of a look at a NATS server alone: its store is not there.
func empty(t *testing.T, url string) look.Options {
	t.Helper()
	return look.Options{NATS: url, Store: "sqlite:" + filepath.Join(t.TempDir(), "none.db"), Timeout: 5 * time.Second}
}

func lookAt(t *testing.T, o look.Options) doctor.Report {
	t.Helper()
	return doctor.Judge(look.All(t.Context(), o))
}

// bare is what is wrong with a server that no service has ever used.
var bare = []string{
	"stream SPOT_CONTROL", "stream SPOT_RUNS", "stream KV_SPOT_KEYS", "leases", "services", "store",
}

func TestNATSIsAway(t *testing.T) {
	t.Parallel()
	at := "nats://" + looktest.Closed(t)
	mustFind(t, lookAt(t, empty(t, at)), "nats "+at, doctor.Failed, "connection refused", "start nats-server -js", "bus", "store")
}

// TestOneServerOfSeveralIsAway: another one taking its place does not hide it.
func TestOneServerOfSeveralIsAway(t *testing.T) {
	t.Parallel()
	s := newSite(t, server.Options{})
	away := "nats://" + looktest.Closed(t)
	s.options.NATS += "," + away
	mustFind(t, s.look(), "nats "+away, doctor.Failed, "connection refused", "start nats-server -js")
}

func TestServerThatSaysNothing(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	o := empty(t, "nats://"+l.Addr().String())
	o.Timeout = 200 * time.Millisecond
	mustFind(t, lookAt(t, o), "nats "+o.NATS, doctor.Failed, "timeout", "start nats-server -js", "bus", "store")
}

func TestJetStreamIsOff(t *testing.T) {
	t.Parallel()
	url := newServer(t, &server.Options{})
	mustFind(t, lookAt(t, empty(t, url)), "jetstream", doctor.Failed, "JetStream is off", "nats-server -js", bare...)
}

func TestJetStreamIsOn(t *testing.T) {
	t.Parallel()
	url := newServer(t, &server.Options{JetStream: true})
	mustFind(t, lookAt(t, empty(t, url)), "stream SPOT_RUNS", doctor.Failed, "not there", "they make it", bare...)
}

// TestUserIsUnknown: nobody is let in without an nkey.
func TestUserIsUnknown(t *testing.T) {
	t.Parallel()
	public, _ := newNKey(t)
	url := newServer(t, &server.Options{JetStream: true, Nkeys: []*server.NkeyUser{{Nkey: public}}})
	mustFind(t, lookAt(t, empty(t, url)), "nats "+url, doctor.Failed, "Authorization", "--nats-nkey", "bus", "store")

	o := empty(t, url)
	_, o.Credentials.NKey = newNKey(t) // of another deployment
	mustFind(t, lookAt(t, o), "nats "+url, doctor.Failed, "Authorization", "auth.conf", "bus", "store")
	if o.Credentials.NKey = filepath.Join(t.TempDir(), "none"); true {
		mustFind(t, lookAt(t, o), "nats "+url, doctor.Failed, "--nats-nkey", "", "bus", "store")
	}
}

// newNKey makes a user's key and the file with its seed.
func newNKey(t *testing.T) (public, file string) {
	t.Helper()
	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := pair.Seed()
	if err != nil {
		t.Fatal(err)
	}
	if public, err = pair.PublicKey(); err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "nats.nk")
	if err := os.WriteFile(file, seed, 0o600); err != nil {
		t.Fatal(err)
	}
	return public, file
}

// TestUserMayNotLook: what is not allowed is told at once, as what it is, and the
// rest is looked at.
func TestUserMayNotLook(t *testing.T) {
	t.Parallel()
	public, file := newNKey(t)
	denied := []string{"$JS.API.STREAM.INFO.SPOT_RUNS", "spot.control.service.>"}
	s := newSite(t, server.Options{
		NoAuthUser: "everybody", Users: []*server.User{{Username: "everybody", Password: "x"}},
		Nkeys: []*server.NkeyUser{{Nkey: public, Permissions: &server.Permissions{
			Publish: &server.SubjectPermission{Deny: denied}, Subscribe: &server.SubjectPermission{Deny: []string{"spot.signal.>", "spot.control.service.>"}},
		}}},
	})
	s.options.Credentials.NKey, s.options.Timeout = file, time.Minute
	began := time.Now()
	r := s.look()
	if took := time.Since(began); took > s.options.Timeout/2 {
		t.Errorf("it takes %s: it waits for answers that are not allowed", took)
	}
	mustFind(t, r, "stream SPOT_RUNS", doctor.Warning, "not let this user use $JS.API.STREAM.INFO.SPOT_RUNS", "role operator", "services", "signals")
	mustFind(t, r, "services", doctor.Warning, "not let this user", "role operator", "stream SPOT_RUNS", "signals")
	mustFind(t, r, "stream SPOT_CONTROL", doctor.OK, "kept by 1 server", "", "stream SPOT_RUNS", "services", "signals")
	mustFind(t, r, "nats user", doctor.OK, public, "", "stream SPOT_RUNS", "services", "signals")
}

// secured is a server with a certificate.
func secured(t *testing.T, pair tls.Certificate) (url string) {
	t.Helper()
	return newServer(t, &server.Options{JetStream: true, TLSConfig: &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair}}, TLSTimeout: 2})
}

func TestTLS(t *testing.T) {
	t.Parallel()
	const long = 1000 * time.Hour
	ours, others := looktest.NewAuthority(t), looktest.NewAuthority(t)
	plain := newServer(t, &server.Options{JetStream: true})
	for _, c := range []struct {
		name        string
		url, ca     string
		found, mend string
	}{
		{"another authority", secured(t, ours.Pair("127.0.0.1", "", time.Hour, long)), others.File, "unknown authority", "--tls-ca"},
		{"another name", secured(t, ours.Pair("elsewhere", "", time.Hour, long)), ours.File, "127.0.0.1", "--host NAME"},
		{"expired", secured(t, ours.Pair("127.0.0.1", "", 2*time.Hour, -time.Hour)), ours.File, "expired", "--renew"},
		{"none named", secured(t, ours.Pair("127.0.0.1", "", time.Hour, long)), "", "unknown authority", "--tls-ca"},
		{"no TLS there", plain, ours.File, "secure connection not available", "the server has no TLS"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := empty(t, c.url)
			o.Credentials.CA = c.ca
			r := lookAt(t, o)
			besides := []string{"bus", "store", "certificate of the authority (--tls-ca)"}
			mustFind(t, r, "nats "+c.url, doctor.Failed, c.found, c.mend, besides...)
		})
	}
	t.Run("well, and nearly over", func(t *testing.T) {
		t.Parallel()
		o := empty(t, secured(t, ours.Pair("127.0.0.1", "", long, time.Hour)))
		o.Credentials.CA = ours.File
		r := lookAt(t, o)
		mustFind(t, r, "nats "+o.NATS, doctor.OK, "TLS 1.3", "", append(bare, "certificate of NATS "+o.NATS)...)
		mustFind(t, r, "certificate of NATS "+o.NATS, doctor.Warning, "in 1h0m0s", "--renew", bare...)
		mustFind(t, r, "certificate of the authority (--tls-ca)", doctor.OK, "holds until", "", append(bare, "certificate of NATS "+o.NATS)...)
	})
}

// TestMonitor: what a server says of itself over HTTP.
func TestMonitor(t *testing.T) {
	t.Parallel()
	o := &server.Options{JetStream: true, HTTPHost: "127.0.0.1", HTTPPort: server.RANDOM_PORT, SyncInterval: time.Minute, JetStreamMaxStore: 1 << 20}
	o.Host, o.Port, o.NoSigs, o.NoLog, o.StoreDir = "127.0.0.1", server.RANDOM_PORT, true, true, t.TempDir()
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	defer s.WaitForShutdown()
	defer s.Shutdown()
	if !s.ReadyForConnections(time.Minute) {
		t.Fatal("the server is not ready")
	}
	options := empty(t, s.ClientURL())
	options.Monitors = []string{s.MonitorAddr().String()}
	at := "nats monitor http://" + s.MonitorAddr().String()
	mustFind(t, lookAt(t, options), at, doctor.Warning, "forces what it stores to the disk every 1m0s", "sync_interval: always", bare...)
	fill(t, s.ClientURL(), 1000<<10)
	mustFind(t, lookAt(t, options), at, doctor.Failed, "are used", "free or add space", append(bare, at)...)
	options.Monitors = []string{looktest.Closed(t)}
	mustFind(t, lookAt(t, options), "nats monitor http://"+options.Monitors[0], doctor.Failed, "connection refused", "127.0.0.1:8222", bare...)
}
