package doctor

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// oldest is the first version of NATS that has what natsbus uses: consumers with
// several filters.
var oldest = version{2, 10}

func (r *Report) servers(s Seen) {
	versions := make(map[string]bool)
	for _, server := range s.Servers {
		check := "nats " + server.URL
		if server.Err != nil {
			r.fail(check, mendDial(server.Err), "cannot be used: %v", server.Err)
			continue
		}
		versions[server.Version] = true
		n := len(r.Findings)
		if v, ok := parseVersion(server.Version); !ok || v.before(oldest) {
			r.fail(check, fmt.Sprintf("run nats-server %s or newer", oldest), "version %s is too old", server.Version)
		}
		if server.TLS == "" && !server.Loopback {
			r.warn(check, "give the server a certificate and the services --tls-ca: spotserve deploy keys makes both",
				"plain text to another host: prompts, answers and commands can be read and changed on the way")
		}
		if !r.has(n) {
			r.ok(check, "%s, version %s, %s", server.Name, server.Version, cmpOr(server.TLS, "plain text on this host"))
		}
	}
	if len(versions) > 1 {
		r.warn("nats versions", "bring all servers to one version, one after the other", "the servers have %d versions", len(versions))
	}
}

func cmpOr(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// mendDial says what to do about a server that cannot be used.
func mendDial(err error) string {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "name the authority that signed the server's certificate with --tls-ca; a set of spotserve deploy keys has one for all"
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "make the server's certificate for this name: spotserve deploy keys --host NAME --renew"
	}
	if wrong, ok := errors.AsType[x509.CertificateInvalidError](err); ok && wrong.Reason == x509.Expired {
		return "renew the server's certificate: spotserve deploy keys --renew; if it is new, set the clock of this host"
	}
	switch {
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired), errors.Is(err, nats.ErrAuthRevoked):
		return "give the credentials of a user that the server knows (--nats-nkey), and the server the auth.conf of the same set of spotserve deploy keys"
	case errors.Is(err, nats.ErrNkeysNotSupported):
		return "the server knows no users: give it the auth.conf of spotserve deploy keys"
	case errors.Is(err, nats.ErrSecureConnRequired):
		return "the server wants TLS: name its authority with --tls-ca"
	case errors.Is(err, nats.ErrSecureConnWanted):
		return "the server has no TLS: give it the certificate of spotserve deploy keys"
	}
	return "start nats-server -js there, or correct --nats; is a firewall or a network policy in between?"
}

// version is major.minor.
type version [2]int

func (v version) String() string        { return fmt.Sprintf("%d.%d", v[0], v[1]) }
func (v version) before(w version) bool { return v[0] < w[0] || v[0] == w[0] && v[1] < w[1] }

func parseVersion(text string) (v version, ok bool) {
	parts := strings.SplitN(strings.TrimPrefix(text, "v"), ".", 3)
	if len(parts) < 2 {
		return v, false
	}
	for i := range v {
		n, err := strconv.Atoi(parts[i])
		if err != nil {
			return v, false
		}
		v[i] = n
	}
	return v, true
}

// Shares of a limit from which on it is doubtful, and broken.
const (
	nearlyFull = 0.8
	full       = 0.95
)

func (r *Report) account(s Seen) {
	const check = "jetstream"
	a := s.Account
	switch {
	case a.Off:
		r.fail(check, "start the server with JetStream (nats-server -js), and the account with it", "JetStream is off")
		return
	case a.Err != nil:
		r.unseen(check, a.Err)
		return
	}
	n := len(r.Findings)
	r.filled(check, "its account's limit", int64(a.Usage.Store), a.Usage.Limits.MaxStore) //nolint:gosec // bytes on a disk
	if most := a.Usage.Limits.MaxStreams; most > 0 && a.Usage.Streams >= most && len(s.Streams) > a.Usage.Streams {
		r.fail(check, "raise the account's limit of streams", "the account may have %s and needs %d", plural(most, "stream"), len(s.Streams))
	}
	if !r.has(n) {
		r.ok(check, "%s, %s on disk", plural(a.Usage.Streams, "stream"), size(int64(a.Usage.Store))) //nolint:gosec // bytes on a disk
	}
}

// filled judges how much of a limit on bytes is used up. A limit of 0 or less is
// none.
func (r *Report) filled(check, limit string, used, most int64) {
	const mend = "free or add space: let the collector purge old runs (--retention), or raise the limit; a full server refuses every message"
	if most <= 0 {
		return
	}
	share := float64(used) / float64(most)
	say := "%s of %s, %s, are used"
	switch {
	case share >= full:
		r.fail(check, mend, say, size(used), size(most), limit)
	case share >= nearlyFull:
		r.warn(check, mend, say, size(used), size(most), limit)
	}
}

// size is a number of bytes as text.
func size(bytes int64) string {
	value, unit := float64(bytes), 0
	for value >= 1000 && unit < 4 {
		value, unit = value/1000, unit+1
	}
	return fmt.Sprintf("%.3g %s", value, []string{"B", "kB", "MB", "GB", "TB"}[unit])
}

// longestSync is how much of what was acknowledged a power failure may cost.
const longestSync = 10 * time.Second

func (r *Report) monitors(s Seen) {
	for _, m := range s.Monitors {
		check := "nats monitor " + m.URL
		if m.Err != nil {
			r.fail(check, "serve it with http: \"127.0.0.1:8222\" in the server's configuration, and ask on its host", "cannot be read: %v", m.Err)
			continue
		}
		n := len(r.Findings)
		if !m.SyncAlways && m.SyncInterval > longestSync && !s.replicated() {
			r.warn(check, "set sync_interval: always in the server's jetstream block, or have three servers keep each stream",
				"%s forces what it stores to the disk every %s, and nobody else has it: a power failure costs that much", m.Server, m.SyncInterval)
		}
		r.filled(check, "the store of "+m.Server, m.StoreUsed, m.StoreMax)
		if m.SlowClients > 0 {
			r.warn(check, "look for a host that is overloaded, or a network that is too slow", "%s has cut off %s that read too slowly", m.Server, plural(int(m.SlowClients), "client"))
		}
		if r.has(n) {
			continue
		}
		sync := "always"
		if !m.SyncAlways {
			sync = "every " + m.SyncInterval.String()
		}
		r.ok(check, "%s syncs %s, %s of %s used", m.Server, sync, size(m.StoreUsed), size(m.StoreMax))
	}
}

// replicated reports whether several servers keep every stream.
func (s Seen) replicated() bool {
	for _, stream := range s.Streams {
		if stream.Info == nil || stream.Info.Config.Replicas < 2 {
			return false
		}
	}
	return len(s.Streams) > 0
}
