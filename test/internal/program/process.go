//go:build unix

package program

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/spotserve/spotserve/platform/testsecret"
)

// patience is far longer than anything here takes, also on a busy machine.
const patience = 2 * time.Minute

// Process is a running program, with all processes that it starts.
type Process struct {
	Stdout, Stderr Output
	cmd            *exec.Cmd
	ended          chan struct{}
}

// Exit is how a process ended.
type Exit struct {
	Code           int // -1 if a signal ended it
	Stdout, Stderr string
}

// Start runs a program in dir until it ends, at the latest when the test does.
// Of the environment it gets what names no setting of SpotServe, and env.
func Start(t testing.TB, dir string, env []string, file string, args ...string) *Process {
	t.Helper()
	p := &Process{cmd: exec.Command(file, args...), ended: make(chan struct{})}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "SPOTSERVE_") {
			p.cmd.Env = append(p.cmd.Env, v)
		}
	}
	p.cmd.Env = append(p.cmd.Env, env...)
	kept := testsecret.Keep(t, filepath.Base(file))
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, io.MultiWriter(&p.Stdout, kept), io.MultiWriter(&p.Stderr, kept)
	p.cmd.SysProcAttr = attributes()
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is read from its state
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // fails if all is well
		<-p.ended
		if t.Failed() {
			t.Logf("%s\n%s%s", p.cmd, p.Stdout.String(), p.Stderr.String())
		}
	})
	return p
}

// Run runs a program to its end.
func Run(t testing.TB, dir string, env []string, file string, args ...string) Exit {
	t.Helper()
	return Start(t, dir, env, file, args...).Wait(t)
}

// Wait waits for the end of the process. It fails the test if the process has
// left another behind.
func (p *Process) Wait(t testing.TB) Exit {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		_ = p.cmd.Process.Signal(syscall.SIGQUIT) // it tells where it hangs
		select {
		case <-p.ended:
		case <-time.After(patience):
		}
		t.Fatalf("%s has not ended after %s", p.cmd, patience)
	}
	if err := syscall.Kill(-p.cmd.Process.Pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("%s has ended and left a process behind", p.cmd)
	}
	return Exit{Code: p.cmd.ProcessState.ExitCode(), Stdout: p.Stdout.String(), Stderr: p.Stderr.String()}
}

// PID is the id of the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Signal sends a signal to the process alone.
func (p *Process) Signal(t testing.TB, signal os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
}

// Await waits until the process has written text to its standard error.
func (p *Process) Await(t testing.TB, text string) {
	t.Helper()
	timeout := time.After(patience)
	for {
		said, more := p.Stderr.state()
		if strings.Contains(said, text) {
			return
		}
		select {
		case <-more:
		case <-p.ended:
			if !strings.Contains(p.Stderr.String(), text) {
				t.Fatalf("%s ended without saying %q:\n%s", p.cmd, text, p.Stderr.String())
			}
			return
		case <-timeout:
			t.Fatalf("%s does not say %q:\n%s", p.cmd, text, said)
		}
	}
}

// Output is what a process has written so far. The zero value is empty.
type Output struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{} // closed at the next write; nil while nobody waits
}

// Write implements io.Writer.
func (o *Output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.more != nil {
		close(o.more)
		o.more = nil
	}
	return o.text.Write(b)
}

// String is all of it.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// state is what is there, and a channel that is closed when there is more.
func (o *Output) state() (string, <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.more == nil {
		o.more = make(chan struct{})
	}
	return o.text.String(), o.more
}
