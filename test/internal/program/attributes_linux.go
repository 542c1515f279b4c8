package program

import "syscall"

// attributes gives the process a group of its own and has the kernel end it
// when the test is killed.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
