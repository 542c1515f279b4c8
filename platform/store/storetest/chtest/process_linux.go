package chtest

import "syscall"

// processAttributes has the kernel end the server when the test is killed.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
