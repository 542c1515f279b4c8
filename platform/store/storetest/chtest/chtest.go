// Package chtest runs a ClickHouse server for tests: in a temporary folder, on a
// free port of the loopback interface, and gone with the test.
package chtest

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	clickhouse "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/spotserve/spotserve/platform/linktest"
)

// RequireEnv names the environment variable that makes a missing server a
// failure rather than a skipped test, if it is 1.
const RequireEnv = "SPOTSERVE_REQUIRE_DEPS"

const (
	startTimeout = 60 * time.Second
	stopTimeout  = 30 * time.Second
)

// Server is a running ClickHouse server.
type Server struct {
	t    testing.TB
	dir  string
	port int
	env  []string           // besides this process's own
	dial clickhouse.Options // how to see that it answers
	cmd  *exec.Cmd
	done chan struct{} // closed when cmd has ended
}

// Start runs a server until the test ends. Without a clickhouse-server on this
// machine the test is skipped, or fails if RequireEnv is 1.
func Start(t testing.TB) *Server {
	t.Helper()
	return start(t, (*Server).configure)
}

func start(t testing.TB, configure func(*Server)) *Server {
	t.Helper()
	binary, err := find()
	if err != nil {
		failOrSkip(t, err)
	}
	// A port that is free now may be taken before the server listens on it.
	for attempt := 1; ; attempt++ {
		s := &Server{t: t, dir: t.TempDir(), port: freePort(t)}
		configure(s)
		err := s.run(binary)
		if err == nil {
			t.Cleanup(s.Stop)
			return s
		}
		if attempt == 3 {
			t.Fatalf("start %s: %v\n%s", binary, err, s.log())
		}
	}
}

// find looks for the server also where the search path of a plain user may not.
func find() (string, error) {
	if path, err := exec.LookPath("clickhouse-server"); err == nil {
		return path, nil
	}
	const sbin = "/usr/sbin/clickhouse-server"
	if _, err := os.Stat(sbin); err == nil {
		return sbin, nil
	}
	return "", errors.New("there is no clickhouse-server in the search path or /usr/sbin")
}

func failOrSkip(t testing.TB, missing error) {
	t.Helper()
	if os.Getenv(RequireEnv) == "1" {
		t.Fatalf("%v, and %s=1 asks for it", missing, RequireEnv)
	}
	t.Skipf("SKIPPED, NOT TESTED: %v; install it (Debian: apt-get install clickhouse-server)", missing)
}

func freePort(t testing.TB) int {
	t.Helper()
	address, err := net.ResolveTCPAddr("tcp", linktest.Unused(t, 1)[0])
	if err != nil {
		t.Fatal(err)
	}
	return address.Port
}

//go:embed config.xml
var config string

func (s *Server) configure() {
	s.t.Helper()
	text := strings.NewReplacer("{dir}", s.dir, "{port}", strconv.Itoa(s.port)).Replace(config)
	if err := os.WriteFile(s.configFile(), []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

func (s *Server) configFile() string { return filepath.Join(s.dir, "config.xml") }

// run starts the process and returns when it answers.
func (s *Server) run(binary string) error {
	s.cmd = exec.Command(binary, "--config-file="+s.configFile())
	s.cmd.Env = append(os.Environ(), s.env...)
	s.cmd.SysProcAttr = processAttributes()
	if err := s.cmd.Start(); err != nil {
		return err
	}
	s.done = make(chan struct{})
	go func() {
		_ = s.cmd.Wait() // awaitReady tells how it ended
		close(s.done)
	}()
	if err := s.awaitReady(); err != nil {
		s.end(syscall.SIGKILL)
		return err
	}
	return nil
}

func (s *Server) awaitReady() error {
	options := s.dial
	options.Addr = []string{s.address()}
	conn, err := clickhouse.Open(&options)
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	for {
		err := conn.Ping(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-s.done:
			return fmt.Errorf("it ended: %s", s.cmd.ProcessState)
		case <-ctx.Done():
			return fmt.Errorf("it did not answer within %s: %w", startTimeout, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (s *Server) log() string {
	text, err := os.ReadFile(filepath.Join(s.dir, "server.log"))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func (s *Server) address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// URL is the --store value of a database on the server.
func (s *Server) URL(database string) string {
	return "clickhouse://default:@" + s.address() + "/" + database
}

// Stop ends the server and waits until it is gone. Its data stay for Restart.
// Stopping a stopped server does nothing.
func (s *Server) Stop() {
	if s.end(syscall.SIGTERM) {
		return
	}
	s.t.Errorf("clickhouse-server (pid %d) did not stop within %s and was killed", s.cmd.Process.Pid, stopTimeout)
	s.end(syscall.SIGKILL)
}

// Kill ends the server at once, as a crash would.
func (s *Server) Kill() { s.end(syscall.SIGKILL) }

// end signals the process and reports whether it is gone within stopTimeout.
func (s *Server) end(signal os.Signal) bool {
	_ = s.cmd.Process.Signal(signal) // fails if the process has ended already
	select {
	case <-s.done:
		return true
	case <-time.After(stopTimeout):
		return false
	}
}

// Restart runs a stopped server again, on the same port and data.
func (s *Server) Restart() {
	s.t.Helper()
	if err := s.run(s.cmd.Path); err != nil {
		s.t.Fatalf("restart %s: %v\n%s", s.cmd.Path, err, s.log())
	}
}
