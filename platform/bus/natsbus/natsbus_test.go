package natsbus_test

import (
	"net"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/bus/bustest"
	"github.com/spotserve/spotserve/platform/bus/natsbus"
	"github.com/spotserve/spotserve/platform/natsserver"
)

// A server of a cluster that is shut down while it is given a stream may leave the
// goroutines of that stream's file behind: NATS's own, and none of ours.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.(*fileStore).flushStreamStateLoop"),
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server/ats.Register.func1"))
}

// host is a server that can be started again on the same store.
type host struct {
	options natsserver.Options
	server  atomic.Pointer[natsserver.Server]
}

func newHost(tb testing.TB, listen string) *host {
	tb.Helper()
	h := &host{options: natsserver.Options{StoreDir: tb.TempDir(), Listen: listen}}
	h.start(tb)
	tb.Cleanup(func() { h.stop(tb) })
	return h
}

func (h *host) start(tb testing.TB) {
	tb.Helper()
	s, err := natsserver.Start(h.options)
	if err != nil {
		tb.Fatal(err)
	}
	h.server.Store(s)
}

func (h *host) stop(tb testing.TB) {
	tb.Helper()
	if err := h.server.Load().Shutdown(); err != nil {
		tb.Error(err)
	}
}

// InProcessConn connects to the server that runs now.
func (h *host) InProcessConn() (net.Conn, error) { return h.server.Load().InProcessConn() }

func connect(tb testing.TB, o natsbus.Options) *natsbus.Bus {
	tb.Helper()
	b, err := natsbus.Connect(tb.Context(), o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = b.Close() })
	return b
}

func TestConformance(t *testing.T) {
	bustest.Run(t, func(t *testing.T, o bustest.Options) bus.Bus {
		return connect(t, natsbus.Options{
			InProcess:       newHost(t, ""),
			Name:            t.Name(),
			FirstSeq:        o.FirstSeq,
			AckWait:         o.AckWait,
			DuplicateWindow: o.DuplicateWindow,
		})
	})
}
