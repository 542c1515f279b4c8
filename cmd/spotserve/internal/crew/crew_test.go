//go:build unix

package crew_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/spotserve/spotserve/cmd/spotserve/internal/crew"
)

// The test's own program plays the workers: its environment says how they behave.
const behave = "CREW_TEST_BEHAVE"

func TestMain(m *testing.M) {
	switch os.Getenv(behave) {
	case "":
		goleak.VerifyTestMain(m)
	case "work":
		fmt.Println("works", os.Getpid(), os.Args[1:])
		<-crew.UntilEnd(context.Background(), os.Stdin).Done()
		fmt.Println("ends", os.Getpid())
	case "fail":
		fmt.Println("no such file")
		os.Exit(3)
	case "parent": // starts workers, says who they are, and waits to be killed
		_ = os.Setenv(behave, "work")
		c, err := crew.Start(crew.Options{Program: os.Args[0], Nodes: []string{"a", "b"}, Logs: os.Args[1], Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("started")
		<-c.Broken().Done()
	}
}

const patience = time.Minute

// eventually waits until ok says so.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for begin := time.Now(); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Since(begin) > patience {
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

func start(t *testing.T, how string, nodes ...string) (*crew.Crew, string) {
	t.Helper()
	t.Setenv(behave, how)
	logs := t.TempDir()
	c, err := crew.Start(crew.Options{
		Program: os.Args[0], Command: []string{"worker"}, Args: []string{"--threads", "1"}, Nodes: nodes, Logs: logs, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return c, logs
}

// pids lists the processes that a worker's log tells of, and its whole text.
func pids(logs, node string) (all []int, text string) {
	data, _ := os.ReadFile(filepath.Join(logs, node+".log")) // none yet
	scanner := bufio.NewScanner(strings.NewReader(string(data)))
	for scanner.Scan() {
		if words := strings.Fields(scanner.Text()); len(words) > 1 && words[0] == "works" {
			pid, _ := strconv.Atoi(words[1])
			all = append(all, pid)
		}
	}
	return all, string(data)
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

// TestWorkersEndWhenTheyAreTold, by themselves.
func TestWorkersEndWhenTheyAreTold(t *testing.T) {
	c, logs := start(t, "work", "a", "b")
	for _, node := range []string{"a", "b"} {
		eventually(t, "it works", func() bool { all, _ := pids(logs, node); return len(all) == 1 })
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	for _, node := range []string{"a", "b"} {
		all, text := pids(logs, node)
		if !strings.Contains(text, "[worker --tied --node "+node+" --threads 1]") || !strings.Contains(text, fmt.Sprint("ends ", all[0])) || alive(all[0]) {
			t.Errorf("the worker of %s says\n%s", node, text)
		}
	}
}

// TestAWorkerThatDiesIsStartedAgain, and only that one.
func TestAWorkerThatDiesIsStartedAgain(t *testing.T) {
	c, logs := start(t, "work", "a", "b")
	defer c.Close()
	eventually(t, "it works", func() bool { all, _ := pids(logs, "a"); return len(all) == 1 })
	first, _ := pids(logs, "a")
	if err := syscall.Kill(first[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it works again", func() bool { all, _ := pids(logs, "a"); return len(all) == 2 })
	if err := c.Broken().Err(); err != nil {
		t.Error(err)
	}
	if all, _ := pids(logs, "b"); len(all) > 1 {
		t.Errorf("the other was started %d times", len(all))
	}
}

// TestAWorkerThatCannotWorkIsGivenUp, with what it said.
func TestAWorkerThatCannotWorkIsGivenUp(t *testing.T) {
	c, _ := start(t, "fail", "a")
	<-c.Broken().Done()
	err := c.Close()
	if err == nil || !strings.Contains(err.Error(), "worker of node a: its process ends again and again (exit status 3)") || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("it is given up with %v", err)
	}
}

func TestWhatIsNoProgramIsAnError(t *testing.T) {
	_, err := crew.Start(crew.Options{Program: filepath.Join(t.TempDir(), "none"), Nodes: []string{"a"}, Logs: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "worker of node a") {
		t.Errorf("got %v", err)
	}
}

// TestNoWorkerOutlivesTheOneThatStartedIt, not even where that is killed.
func TestNoWorkerOutlivesTheOneThatStartedIt(t *testing.T) {
	logs := t.TempDir()
	parent := exec.Command(os.Args[0], logs)
	parent.Env = append(slices.Clone(os.Environ()), behave+"=parent")
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	for _, node := range []string{"a", "b"} {
		eventually(t, "it works", func() bool { all, _ := pids(logs, node); return len(all) == 1 })
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // it was killed
	for _, node := range []string{"a", "b"} {
		all, _ := pids(logs, node)
		eventually(t, "it ends", func() bool { return !alive(all[0]) })
	}
}
