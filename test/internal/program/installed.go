//go:build unix

package program

import (
	"errors"
	"os"
	"os/exec"
	"testing"

	"github.com/spotserve/spotserve/platform/store/storetest/chtest"
)

// Installed finds a stock program, and skips the test where there is none; it
// fails if all dependencies are asked for.
func Installed(t testing.TB, name, toInstall string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	switch {
	case err == nil:
		return path
	case !errors.Is(err, exec.ErrNotFound):
		t.Fatal(err)
	case os.Getenv(chtest.RequireEnv) == "1":
		t.Fatalf("there is no %s in the search path, and %s=1 asks for it: %s", name, chtest.RequireEnv, toInstall)
	}
	t.Skipf("SKIPPED, NOT TESTED: there is no %s in the search path: %s", name, toInstall)
	return ""
}
