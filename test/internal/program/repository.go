package program

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// Repository is the root of the repository, from the folder of a test below test/.
const Repository = "../.."

// Main runs the tests of a package, deletes the folder, and returns what to exit
// with.
func (f *Folder) Main(m *testing.M) (code int) {
	code = m.Run()
	if err := f.Remove(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// Spotserve builds the command line.
func (f *Folder) Spotserve(t testing.TB) string {
	t.Helper()
	return f.Path(t, "spotserve", filepath.Join(Repository, "cmd", "spotserve"), ".")
}

// Service builds a service.
func (f *Folder) Service(t testing.TB, name string) string {
	t.Helper()
	return f.Path(t, name, filepath.Join(Repository, "services", name), "./cmd/"+name)
}

// NATSServer builds the stock NATS server, in the version that is embedded.
func (f *Folder) NATSServer(t testing.TB) string {
	t.Helper()
	return f.Path(t, "nats-server", filepath.Join(Repository, "test"), "github.com/nats-io/nats-server/v2")
}
