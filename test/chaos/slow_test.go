//go:build unix

package chaos

import (
	"os"
	"testing"
)

// slowEnv set to 1 asks for all tests; the others take a minute of two cores.
const slowEnv = "SPOTSERVE_CHAOS"

// slow skips a test unless all are asked for.
func slow(t *testing.T) {
	t.Helper()
	if os.Getenv(slowEnv) == "" {
		t.Skipf("SKIPPED, NOT TESTED: set %s=1, or make chaos", slowEnv)
	}
}
