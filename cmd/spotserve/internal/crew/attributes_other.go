//go:build !unix

package crew

import "syscall"

func attributes() *syscall.SysProcAttr { return nil }
