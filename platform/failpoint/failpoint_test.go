//go:build unix

package failpoint_test

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spotserve/spotserve/platform/failpoint"
)

// childEnv has TestMain pass a place three times instead of running tests.
const childEnv = "FAILPOINT_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) == "" {
		os.Exit(m.Run())
	}
	if err := failpoint.Arm(os.Getenv(failpoint.Env)); err != nil {
		panic(err)
	}
	for range 3 {
		os.Stdout.WriteString("x")
		failpoint.Hit(failpoint.Publish)
	}
}

// child passes a place three times in a process of its own, and returns how
// often it came there and how it ended.
func child(t *testing.T, points string) (passed int, err error) {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), childEnv+"=1", failpoint.Env+"="+points)
	out, err := c.Output()
	return strings.Count(string(out), "x"), err
}

func TestKillAtItsTime(t *testing.T) {
	if n, err := child(t, ""); n != 3 || err != nil {
		t.Errorf("disarmed it passes %d times, %v; want 3", n, err)
	}
	if n, err := child(t, failpoint.Elected+"=kill@1"); n != 3 || err != nil {
		t.Errorf("armed elsewhere it passes %d times, %v; want 3", n, err)
	}
	n, err := child(t, failpoint.Publish+"=kill@2")
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL || n != 2 {
		t.Errorf("it passes %d times and ends with %v; want 2 and SIGKILL", n, err)
	}
}

func TestStopGoesOn(t *testing.T) {
	if n, err := child(t, failpoint.Publish+"=stop:50ms@2"); n != 3 || err != nil {
		t.Errorf("it passes %d times, %v; want 3: it goes on", n, err)
	}
}

// deliver hands n messages on and returns them as they come.
func deliver(t *testing.T, points string, n int) (got []int) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		if err := failpoint.Arm(points); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = failpoint.Arm("") }()
		out := make(chan int, 2*n)
		for i := range n {
			failpoint.Deliver(failpoint.Receive, i, func(i int) { out <- i })
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Minute)
		synctest.Wait() // the last one has handed its message on
		close(out)
		for i := range out {
			got = append(got, i)
		}
	})
	return got
}

func TestDeliver(t *testing.T) {
	const n = 2000
	count := func(got []int) (often []int, behind int) {
		often = make([]int, n)
		last := -1
		for _, i := range got {
			often[i]++
			if i < last {
				behind++
			}
			last = max(last, i)
		}
		return often, behind
	}
	for points, want := range map[string]struct{ more, behind bool }{
		"":                            {},
		failpoint.Receive + "=seed=3": {},
		failpoint.Receive + "=duplicate:0.1,seed=3":             {more: true},
		failpoint.Receive + "=late:10ms:0.1":                    {behind: true},
		failpoint.Receive + "=duplicate:0.1,late:10ms:0.1":      {more: true, behind: true},
		failpoint.Receive + "=duplicate:0,late:10ms:0,seed=123": {},
	} {
		got := deliver(t, points, n)
		often, behind := count(got)
		for i, times := range often {
			if times == 0 {
				t.Fatalf("%s: message %d is lost", points, i)
			}
		}
		for name, c := range map[string]struct {
			is   int
			want bool
		}{"more than once": {len(got) - n, want.more}, "overtaken": {behind, want.behind}} {
			if lo, hi := n/20, n/5; c.want && (c.is < lo || c.is > hi) || !c.want && c.is != 0 {
				t.Errorf("%q: %d messages come %s; want between %d and %d, if at all: %t", points, c.is, name, lo, hi, c.want)
			}
		}
	}
	if a, b := deliver(t, failpoint.Receive+"=late:5ms:0.3,seed=1", 50), deliver(t, failpoint.Receive+"=late:5ms:0.3,seed=2", 50); equal(a, b) {
		t.Error("two seeds have the same messages late")
	}
}

func equal(a, b []int) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func TestArmRefuses(t *testing.T) {
	defer func() { _ = failpoint.Arm("") }()
	for text, part := range map[string]string{
		"planner=kill@1":                            `"planner" is no place: allowed are actor/publish`,
		"actor/publish":                             "want kill@N or stop:DURATION@N",
		"actor/publish=kill":                        "want kill@N",
		"actor/publish=kill@0":                      "N of 1 or more",
		"actor/publish=stop:5@1":                    "missing unit",
		"actor/publish=duplicate:0.1":               "want kill@N",
		"actor/publish=kill@1;actor/publish=kill@2": "twice",
		"natsbus/deliver=kill@1":                    "want duplicate:P or late:DURATION:P",
		"natsbus/deliver=duplicate:2":               "no probability",
		"natsbus/deliver=late:1s":                   "want duplicate:P or late:DURATION:P",
		"natsbus/deliver=duplicate:0.1,seed=x":      "seed=x",
	} {
		err := failpoint.Arm(text)
		if err == nil || !strings.Contains(err.Error(), part) || !strings.Contains(err.Error(), failpoint.Env) {
			t.Errorf("%s: %v; want it to say %q", text, err, part)
		}
	}
}

func BenchmarkDisarmed(b *testing.B) {
	for b.Loop() {
		failpoint.Hit(failpoint.Publish)
	}
}
