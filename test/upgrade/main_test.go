//go:build unix

// Package upgrade runs services of the version before beside those of today, and
// reads what the version before has stored.
package upgrade

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/spotserve/spotserve/platform/store/storetest/chtest"
	"github.com/spotserve/spotserve/test/internal/program"
)

var today program.Folder

// before are the services of the version before, built from git.
var before struct {
	once sync.Once
	dir  string
	err  error
}

func TestMain(m *testing.M) {
	code := today.Main(m)
	if err := os.RemoveAll(before.dir); err != nil { // of nothing does nothing
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// commitFile names the version before while no release is tagged.
const commitFile = "testdata/version-before"

// programs returns a service's program of today and of the version before. It
// skips the test where the history that the latter is built from is not there, or
// fails if all dependencies are asked for.
func programs(t *testing.T, service string) (now, then string) {
	t.Helper()
	now = today.Service(t, service)
	before.once.Do(func() { before.dir, before.err = checkOut() })
	if before.err != nil {
		if os.Getenv(chtest.RequireEnv) == "1" {
			t.Fatalf("the version before cannot be built, and %s=1 asks for it: %v", chtest.RequireEnv, before.err)
		}
		t.Skipf("SKIPPED, NOT TESTED: the version before cannot be built: %v", before.err)
	}
	then = filepath.Join(before.dir, "bin", service)
	if _, err := os.Stat(then); err == nil {
		return now, then
	}
	build := exec.Command("go", "build", "-o", then, "./cmd/"+service)
	build.Dir = filepath.Join(before.dir, "source", "services", service)
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", build, err, out)
	}
	return now, then
}

// checkOut writes the source of the version before into a folder: of the last
// release before this commit, or of the commit that commitFile names.
func checkOut() (dir string, err error) {
	version, err := git("describe", "--tags", "--abbrev=0", "--match", "v*", "HEAD^")
	if err != nil {
		named, err := os.ReadFile(commitFile)
		if err != nil {
			return "", err
		}
		version = strings.TrimSpace(string(named))
	}
	if _, err := git("cat-file", "-e", version+"^{commit}"); err != nil {
		return "", fmt.Errorf("%s is not in this repository (a shallow clone?): %w", version, err)
	}
	dir, err = os.MkdirTemp("", "spotserve-before-")
	if err != nil {
		return "", err
	}
	source := filepath.Join(dir, "source")
	if err := os.Mkdir(source, 0o755); err != nil {
		return dir, err
	}
	root, err := git("rev-parse", "--show-toplevel")
	if err != nil {
		return dir, err
	}
	archive := filepath.Join(dir, "source.tar")
	if _, err := git("-C", root, "archive", "--output", archive, version); err != nil {
		return dir, err
	}
	if out, err := exec.Command("tar", "-xf", archive, "-C", source).CombinedOutput(); err != nil {
		return dir, fmt.Errorf("tar: %w\n%s", err, out)
	}
	return dir, os.Remove(archive)
}

var schemaVersion = regexp.MustCompile(`(?m)^const SchemaVersion = (\d+)$`)

// schemaBefore is the schema version of the version before, which is there.
func schemaBefore(t *testing.T) int {
	t.Helper()
	source, err := os.ReadFile(filepath.Join(before.dir, "source", "core", "event", "event.go"))
	if err != nil {
		t.Fatal(err)
	}
	m := schemaVersion.FindSubmatch(source)
	if m == nil {
		t.Fatal("the version before has no schema version")
	}
	v, err := strconv.Atoi(string(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func git(args ...string) (string, error) {
	out, err := exec.Command("git", args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("git %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out)), nil
}
