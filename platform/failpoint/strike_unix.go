//go:build unix

package failpoint

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// strike ends or stops this process. What keeps it from that is said, and
// nothing happens: the test that armed the point misses the fault.
func (a action) strike() {
	self := os.Getpid()
	if a.do == "kill" {
		report(syscall.Kill(self, syscall.SIGKILL))
		select {} // the signal is on its way
	}
	// Who is stopped cannot wake up by itself.
	wake := exec.Command("sh", "-c", fmt.Sprintf("sleep %f; kill -CONT %d", a.wait.Seconds(), self))
	if err := wake.Start(); err != nil {
		report(err)
		return
	}
	report(syscall.Kill(self, syscall.SIGSTOP))
	_ = wake.Wait() // it has done its work
}

func report(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "failpoint:", err)
	}
}
