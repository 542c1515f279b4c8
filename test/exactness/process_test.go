//go:build unix

package exactness

import (
	"log/slog"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/bus/natsbus"
	"github.com/spotserve/spotserve/platform/natsserver"
	"github.com/spotserve/spotserve/test/internal/program"
)

// programs are the services, built when they are first needed.
var programs program.Folder

// remote is a site of processes, each a service as it is shipped. NATS runs in this
// one.
type remote struct {
	t       *testing.T
	url     string
	bus     bus.Bus
	workers map[string]*program.Process
	starts  map[string]int
}

func newRemote(t *testing.T) *remote {
	t.Helper()
	server, err := natsserver.Start(natsserver.Options{StoreDir: t.TempDir(), Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Shutdown(); err != nil {
			t.Error(err)
		}
	})
	r := &remote{t: t, url: server.URL(), workers: make(map[string]*program.Process), starts: make(map[string]int)}
	r.bus, err = natsbus.Connect(t.Context(), natsbus.Options{URL: r.url, Name: "test", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.bus.Close(); err != nil {
			t.Error(err)
		}
	})
	r.serve("planner")
	for _, node := range nodes() {
		r.start(node)
	}
	return r
}

func (r *remote) theBus() bus.Bus { return r.bus }

// serve starts a service and waits until it can take part in a run.
func (r *remote) serve(name string, args ...string) *program.Process {
	r.t.Helper()
	file := programs.Service(r.t, name)
	p := program.Start(r.t, r.t.TempDir(), nil, file, append(args, "--nats", r.url, "--metrics-listen", "127.0.0.1:0")...)
	p.Await(r.t, "url=http://")
	_, url, _ := strings.Cut(p.Stderr.String(), "url=http://")
	url, _, _ = strings.Cut(url, "\n")
	within(r.t, name+" is ready", func() bool {
		answer, err := http.Get("http://" + strings.Trim(strings.TrimSpace(url), `"`) + "/readyz")
		if err != nil {
			return false
		}
		_ = answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
	return p
}

// within waits until something holds.
func within(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for began := time.Now(); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Since(began) > patience {
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

func (r *remote) start(node string) {
	r.t.Helper()
	r.workers[node] = r.serve("worker", "--node", node, "--threads", "1")
	r.starts[node]++
}

// kill ends the worker of a node as a crash does.
func (r *remote) kill(node string) {
	r.t.Helper()
	r.workers[node].Signal(r.t, syscall.SIGKILL)
	r.workers[node].Wait(r.t)
}

// TestProcesses: each service is a process, and workers die by SIGKILL.
func TestProcesses(t *testing.T) {
	t.Parallel()
	play(t, newRemote(t), small())
}

// stopped is how long a process stands still: longer than the planner waits for it.
const stopped = 8 * time.Second

// TestSilence: a worker's process stands still in mid-step. The planner goes on
// without it; when it goes on, it joins with nothing.
func TestSilence(t *testing.T) {
	thorough(t)
	t.Parallel()
	s := small()
	r := newRemote(t)
	c := begin(t, r.bus, "exactness-1", s)
	c.add(nodes()...)
	c.refill()
	c.settled(0)
	for range 3 {
		plans := c.plans
		name := c.chosen.Pipelines[0].Nodes[0]
		r.workers[name].Signal(t, syscall.SIGSTOP)
		c.deaths++
		c.settled(plans)
		until := c.past(c.clock.Now().Add(stopped))
		c.await("the process stands still for a while", until)
		r.workers[name].Signal(t, syscall.SIGCONT)
		plans = c.plans
		wait := c.past(c.clock.Now().Add(5 * time.Second))
		c.await("the node is in use again, or not needed", func() bool { return c.serves(plans) || wait() })
	}
	c.finish()
}
