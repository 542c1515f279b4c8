package deployment

import (
	"os"
	"testing"
	"time"

	"github.com/spotserve/spotserve/test/internal/program"
)

// patience is far longer than anything here takes, also on a busy machine.
const patience = 3 * time.Minute

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
