//go:build !linux

package chtest

import "syscall"

func processAttributes() *syscall.SysProcAttr { return nil }
