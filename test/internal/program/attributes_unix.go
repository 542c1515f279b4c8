//go:build unix && !linux

package program

import "syscall"

// attributes gives the process a group of its own.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
