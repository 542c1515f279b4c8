//go:build unix

// Package e2e runs the programs as their users do, as processes, and looks at
// what they print, store and leave behind.
package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/spotserve/spotserve/test/internal/program"
)

var programs program.Folder

func TestMain(m *testing.M) {
	code := m.Run()
	if err := programs.Remove(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// repository is the root of the repository.
const repository = "../.."

// spotserve builds the command line.
func spotserve(t testing.TB) string {
	t.Helper()
	return programs.Path(t, "spotserve", filepath.Join(repository, "cmd", "spotserve"), ".")
}

// service builds a service.
func service(t testing.TB, name string) string {
	t.Helper()
	return programs.Path(t, name, filepath.Join(repository, "services", name), "./cmd/"+name)
}

// natsServer builds the stock NATS server, in the version that is embedded.
func natsServer(t testing.TB) string {
	t.Helper()
	return programs.Path(t, "nats-server", filepath.Join(repository, "test"), "github.com/nats-io/nats-server/v2")
}
