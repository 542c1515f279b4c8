//go:build unix

// Package e2e runs the programs as their users do, as processes, and looks at
// what they print, store and leave behind.
package e2e

import (
	"os"
	"testing"

	"github.com/spotserve/spotserve/test/internal/program"
)

var programs program.Folder

func TestMain(m *testing.M) {
	os.Exit(programs.Main(m))
}

const repository = program.Repository

var (
	spotserve  = programs.Spotserve
	service    = programs.Service
	natsServer = programs.NATSServer
)
