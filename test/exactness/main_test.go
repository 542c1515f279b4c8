package exactness

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// thoroughEnv set to 1 asks for all tests; the others take about a minute of two
// cores.
const thoroughEnv = "SPOTSERVE_EXACTNESS"

// thorough skips a test unless all are asked for.
func thorough(t *testing.T) {
	t.Helper()
	if os.Getenv(thoroughEnv) == "" {
		t.Skipf("SKIPPED, NOT TESTED: set %s=1, or make exactness", thoroughEnv)
	}
}

func TestMain(m *testing.M) {
	code := programs.Main(m)
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}
