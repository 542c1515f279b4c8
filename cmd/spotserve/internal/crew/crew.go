// Package crew runs worker processes on this machine, one a node. They end with
// this process, however it ends: each holds the reading end of a pipe whose other
// end closes with it. One that ends by itself is started again.
package crew

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Tied is the first argument of a worker that ends when its standard input does.
const Tied = "--tied"

// Options say which workers run.
type Options struct {
	Program string   // the executable
	Command []string // its arguments before those of the worker
	Args    []string // of every worker, beside its node
	Nodes   []string
	Without []string // names in the environment that they do not inherit
	Logs    string   // folder where each worker has its log, NODE.log
	Log     *slog.Logger
}

// Crew is workers that run.
type Crew struct {
	options Options
	ctx     context.Context
	cancel  context.CancelCauseFunc
	workers sync.WaitGroup
}

// How a worker is started again, in wall time: at once, then after pauses as long
// as it does not last; after so many it is given up.
const (
	lasting    = 10 * time.Second
	firstPause = 500 * time.Millisecond
	attempts   = 4
)

// endWait is how long a worker may take to end when it is told to.
const endWait = 10 * time.Second

// Start starts the workers. Close ends them.
func Start(o Options) (*Crew, error) {
	if err := os.MkdirAll(o.Logs, 0o755); err != nil { //nolint:gosec // a folder of logs
		return nil, err
	}
	c := &Crew{options: o}
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	for _, node := range o.Nodes {
		w := &process{crew: c, node: node}
		if err := w.start(); err != nil {
			return nil, errors.Join(fmt.Errorf("worker of node %s: %w", node, err), c.Close())
		}
		c.workers.Go(func() {
			if err := w.watch(); err != nil {
				c.cancel(fmt.Errorf("worker of node %s: %w", node, err))
			}
		})
	}
	return c, nil
}

// Broken is done when a worker cannot be kept alive; its cause says why.
func (c *Crew) Broken() context.Context { return c.ctx }

// Close ends all workers and waits until they have.
func (c *Crew) Close() error {
	c.cancel(errClosed)
	c.workers.Wait()
	if cause := context.Cause(c.ctx); !errors.Is(cause, errClosed) {
		return cause
	}
	return nil
}

// ends reports whether the workers are to end.
func (c *Crew) ends() bool { return c.ctx.Err() != nil }

var errClosed = errors.New("the workers are told to end")

// process is the worker of a node, started again as often as it ends.
type process struct {
	crew  *Crew
	node  string
	cmd   *exec.Cmd
	tie   io.Closer // the end of the pipe that is here
	log   *os.File
	began time.Time
}

func (w *process) start() (err error) {
	o := w.crew.options
	if w.log, err = os.OpenFile(w.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644); err != nil { //nolint:gosec // a log
		return err
	}
	w.cmd = exec.Command(o.Program, slices.Concat(o.Command, []string{Tied, "--node", w.node}, o.Args)...) //nolint:gosec // this program
	w.cmd.Stdout, w.cmd.Stderr, w.cmd.SysProcAttr = w.log, w.log, attributes()
	w.cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		return slices.ContainsFunc(o.Without, func(name string) bool { return strings.HasPrefix(v, name+"=") })
	})
	if w.tie, err = w.cmd.StdinPipe(); err != nil {
		return errors.Join(err, w.log.Close())
	}
	w.began = time.Now()
	if err := w.cmd.Start(); err != nil {
		return errors.Join(err, w.log.Close())
	}
	return nil
}

func (w *process) logFile() string { return filepath.Join(w.crew.options.Logs, w.node+".log") }

// watch waits for the end of the process and starts it again, until the crew is
// told to end.
func (w *process) watch() error {
	pause := firstPause
	for attempt := 1; ; attempt++ {
		how := w.wait()
		if w.crew.ends() {
			return nil
		}
		if time.Since(w.began) > lasting {
			attempt, pause = 1, firstPause
		}
		if attempt == attempts {
			return fmt.Errorf("its process ends again and again (%v); the last lines of %s are\n%s", how, w.logFile(), w.lastLines())
		}
		w.crew.options.Log.Warn("a worker's process has ended, and is started again", "node", w.node, "ended", how, "log", w.logFile())
		select {
		case <-time.After(pause):
		case <-w.crew.ctx.Done():
			return nil
		}
		pause *= 2
		if err := w.start(); err != nil {
			return err
		}
	}
}

// wait waits for the end of the process, and says how it ended. When the crew is
// told to end, so is the process.
func (w *process) wait() string {
	done := make(chan struct{})
	var telling sync.WaitGroup
	telling.Go(func() {
		select {
		case <-done:
			return
		case <-w.crew.ctx.Done():
		}
		_ = w.tie.Close() // closed already if the process has ended
		select {
		case <-done:
		case <-time.After(endWait):
			_ = w.cmd.Process.Kill() // fails if it ends right now
		}
	})
	_ = w.cmd.Wait() // the state says it, and more
	close(done)
	telling.Wait()
	_ = w.log.Close() // of which only the process had anything to write
	return w.cmd.ProcessState.String()
}

// lastLines are the end of the log.
func (w *process) lastLines() string {
	const bytes, lines = 4 << 10, 5
	text, err := os.ReadFile(w.logFile())
	if err != nil {
		return err.Error()
	}
	text = text[max(0, len(text)-bytes):]
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// UntilEnd returns a context that ends when nothing more can be read from r: a
// worker's standard input, which closes with the process that started it.
func UntilEnd(ctx context.Context, r io.Reader) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		_, _ = io.Copy(io.Discard, r) // an error is an end too
		cancel()
	}()
	return ctx
}
