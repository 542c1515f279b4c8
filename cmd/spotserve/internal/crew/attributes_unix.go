//go:build unix

package crew

import "syscall"

// attributes gives the process a group of its own: a Ctrl-C on the terminal is for
// the one that started it, which ends its workers when the runs are stored.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
