//go:build unix

package chaos

import (
	"encoding/json"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/spotserve/spotserve/platform/linktest"
	"github.com/spotserve/spotserve/platform/natsserver"
	"github.com/spotserve/spotserve/test/internal/program"
)

// proc is a program that is started again after it was killed, as an
// orchestrator does.
type proc struct {
	t    testing.TB
	name string
	file string
	dir  string
	args []string
	env  []string
	link *linktest.Link // between it and NATS; nil if there is none
	*program.Process
	stopped bool
}

func (p *proc) start() {
	p.t.Helper()
	p.Process, p.stopped = program.Start(p.t, p.dir, p.env, p.file, p.args...), false
}

// alive reports whether the process runs or is stopped.
func (p *proc) alive() bool { return p.Process != nil && syscall.Kill(p.PID(), 0) == nil }

// kill ends the process as a crash does.
func (p *proc) kill() {
	p.t.Helper()
	p.end(syscall.SIGKILL)
}

func (p *proc) end(signal syscall.Signal) program.Exit {
	p.t.Helper()
	if p.alive() {
		p.Signal(p.t, signal)
	}
	exit := p.Wait(p.t)
	p.Process = nil
	return exit
}

// freeze has the process stand still, its connections open; thaw has it go on.
func (p *proc) freeze() {
	p.t.Helper()
	p.stopped = true
	p.Signal(p.t, syscall.SIGSTOP)
}

func (p *proc) thaw() {
	p.t.Helper()
	p.stopped = false
	p.Signal(p.t, syscall.SIGCONT)
}

var httpAt = regexp.MustCompile(`url=(http://\S+)`)

// health is what the service answers to a question over HTTP.
func (p *proc) health(path string) (status int, body string) {
	p.t.Helper()
	p.Await(p.t, "url=http://")
	r, err := http.Get(httpAt.FindStringSubmatch(p.Stderr.String())[1] + path)
	if err != nil {
		return 0, err.Error()
	}
	defer r.Body.Close()
	var text strings.Builder
	if _, err := io.Copy(&text, r.Body); err != nil {
		return 0, err.Error()
	}
	return r.StatusCode, text.String()
}

func (p *proc) awaitReady() {
	p.t.Helper()
	within(p.t, p.name+" is ready", func() (bool, any) {
		status, said := p.health("/readyz")
		return status == http.StatusOK, said
	})
}

// within waits until a condition holds; what it says otherwise is told when it
// never does.
func within(t testing.TB, what string, holds func() (bool, any)) {
	t.Helper()
	timeout := time.After(patience)
	for {
		ok, said := holds()
		if ok {
			return
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-timeout:
			t.Fatalf("%s: not within %v: %v", what, patience, said)
		}
	}
}

// patience is far longer than anything here takes, also on a busy machine.
const patience = 3 * time.Minute

// newServer makes a NATS server that is not started. It keeps its port.
func newServer(t testing.TB, o natsserver.Options) *proc {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return &proc{t: t, name: "nats", file: self, dir: o.StoreDir, env: []string{serverEnv + "=" + string(text)}}
}

// serve starts a NATS server and waits until it is there.
func (p *proc) serve() (url string) {
	p.t.Helper()
	p.start()
	p.Await(p.t, serves)
	_, url, _ = strings.Cut(p.Stderr.String(), serves)
	url, _, _ = strings.Cut(url, "\n")
	return url
}

// given are the ports that were free.
var given sync.Map

// free is an address of the loopback interface where nobody listens, and which
// is not given to anybody else: a server comes back there after it was killed.
// The port is below those that systems give to connections that go out.
func free(t testing.TB) (address string) {
	t.Helper()
	within(t, "a free port", func() (bool, any) {
		address = "127.0.0.1:" + strconv.Itoa(15_000+rand.IntN(15_000))
		if _, again := given.LoadOrStore(address, true); again {
			return false, address
		}
		l, err := net.Listen("tcp", address)
		if err != nil {
			return false, err
		}
		return l.Close() == nil, address
	})
	return address
}
