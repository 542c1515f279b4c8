package deployment

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/spotserve/spotserve/test/internal/program"
)

// patience is far longer than anything here takes, also on a busy machine.
const patience = 3 * time.Minute

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

// within waits until a condition holds; what it says otherwise is told when it
// never does.
func within(t testing.TB, what string, holds func() (bool, any)) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(200 * time.Millisecond) {
		ok, said := holds()
		if ok {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v: %v", what, patience, said)
		}
	}
}
