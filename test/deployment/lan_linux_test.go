package deployment

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/spotserve/spotserve/platform/store/storetest/chtest"
	"github.com/spotserve/spotserve/test/internal/program"
)

// lan is a network with a switch, and nothing else: hosts find each other by name.
type lan struct {
	t     testing.TB
	name  string // of the switch's namespace, and the beginning of the hosts'
	hosts map[string]*host
}

// host is a network namespace: a machine of its own, on a cable.
type host struct {
	lan     *lan
	name    string
	space   string // namespace
	address string
}

// names has a file with the hosts' names for each namespace: ip netns puts it in
// place of /etc/hosts.
const names = "/etc/netns"

// spaces is where ip netns keeps namespaces by their names.
const spaces = "/run/netns"

const cable = "eth0"

// newLAN makes a network of hosts. Only root can; elsewhere the test is skipped.
func newLAN(t testing.TB, hosts ...string) *lan {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED, NOT TESTED: only root makes network namespaces")
	}
	l := &lan{t: t, name: fmt.Sprintf("spotlan-%d", os.Getpid()), hosts: make(map[string]*host)}
	l.must("netns", "add", l.name)
	t.Cleanup(func() { _ = ip("netns", "del", l.name) }) // it is gone already if all is well
	l.must("-n", l.name, "link", "add", "switch", "type", "bridge")
	l.must("-n", l.name, "link", "set", "switch", "up")
	var book strings.Builder
	book.WriteString("127.0.0.1 localhost\n")
	for i, name := range hosts {
		h := &host{lan: l, name: name, space: l.name + "-" + name, address: fmt.Sprintf("198.18.0.%d", i+1)}
		l.hosts[name] = h
		fmt.Fprintf(&book, "%s %s\n", h.address, name)
		port := "port" + strconv.Itoa(i)
		l.must("netns", "add", h.space)
		t.Cleanup(func() { _ = ip("netns", "del", h.space) }) // likewise
		l.must("-n", l.name, "link", "add", port, "type", "veth", "peer", "name", cable, "netns", h.space)
		l.must("-n", l.name, "link", "set", port, "master", "switch", "up")
		l.must("-n", h.space, "addr", "add", h.address+"/24", "dev", cable)
		l.must("-n", h.space, "link", "set", "lo", "up")
		l.must("-n", h.space, "link", "set", cable, "up")
	}
	for _, h := range l.hosts {
		folder := filepath.Join(names, h.space)
		t.Cleanup(func() {
			_ = os.RemoveAll(folder)
			_ = os.Remove(names) // stays where others use it
		})
		if err := errors.Join(os.MkdirAll(folder, 0o755), os.WriteFile(filepath.Join(folder, "hosts"), []byte(book.String()), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// must runs the command of iproute2. Where it cannot make namespaces the test is
// skipped; it fails if all dependencies are asked for.
func (l *lan) must(args ...string) {
	l.t.Helper()
	err := ip(args...)
	switch {
	case err == nil:
	case os.Getenv(chtest.RequireEnv) == "1":
		l.t.Fatalf("%v, and %s=1 asks for network namespaces", err, chtest.RequireEnv)
	default:
		l.t.Skipf("SKIPPED, NOT TESTED: %v", err)
	}
}

func ip(args ...string) error {
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// on is a host of the network.
func (l *lan) on(name string) *host {
	l.t.Helper()
	h := l.hosts[name]
	if h == nil {
		l.t.Fatalf("there is no host %s", name)
	}
	return h
}

// at is an address of the host.
func (h *host) at(port int) string { return net.JoinHostPort(h.name, strconv.Itoa(port)) }

// start starts a program on the host.
func (h *host) start(dir string, env []string, file string, args ...string) *program.Process {
	h.lan.t.Helper()
	return program.Start(h.lan.t, dir, env, "ip", append([]string{"netns", "exec", h.space, file}, args...)...)
}

// run runs a program on the host to its end.
func (h *host) run(dir string, env []string, file string, args ...string) program.Exit {
	h.lan.t.Helper()
	return h.start(dir, env, file, args...).Wait(h.lan.t)
}

// unplug takes the host off the network; plug puts it back. Nobody is told.
func (h *host) unplug() { h.lan.must("-n", h.space, "link", "set", cable, "down") }
func (h *host) plug()   { h.lan.must("-n", h.space, "link", "set", cable, "up") }

// inside calls f on the host: the sockets that it makes, in its own goroutine, are
// the host's.
func (h *host) inside(f func() error) error {
	// The thread goes back where it was, and lives on: processes that it has
	// started would end with it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	defer own.Close()
	space, err := os.Open(filepath.Join(spaces, h.space))
	if err != nil {
		return err
	}
	defer space.Close()
	if err := unix.Setns(int(space.Fd()), unix.CLONE_NEWNET); err != nil { //nolint:gosec // a file descriptor
		return err
	}
	defer func() {
		if err := unix.Setns(int(own.Fd()), unix.CLONE_NEWNET); err != nil { //nolint:gosec // a file descriptor
			panic(fmt.Sprintf("a thread is lost in %s: %v", h.space, err)) // nothing that it does is right any more
		}
	}()
	return f()
}

// dial connects from the host to an address of another.
func (h *host) dial(to *host, port int) (conn net.Conn, err error) {
	err = h.inside(func() (err error) {
		conn, err = net.DialTimeout("tcp", net.JoinHostPort(to.address, strconv.Itoa(port)), patience)
		return err
	})
	return conn, err
}

// listen listens on the host.
func (h *host) listen(port int) (l net.Listener, err error) {
	err = h.inside(func() (err error) {
		l, err = net.Listen("tcp", net.JoinHostPort(h.address, strconv.Itoa(port)))
		return err
	})
	return l, err
}
