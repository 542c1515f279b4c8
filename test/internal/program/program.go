// Package program builds commands and runs them as processes, as their users do.
package program

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// Folder holds programs, each built when it is first asked for. The zero value
// is an empty folder.
type Folder struct {
	mu       sync.Mutex
	dir      string
	programs map[string]*built
}

type built struct {
	once sync.Once
	err  error
}

// Path builds the program of a package without cgo, as it is shipped, and
// returns its file. dir is the folder of the module to build in, relative to
// the test's own, and pkg the package as go build takes it there.
func (f *Folder) Path(t testing.TB, name, dir, pkg string) string {
	t.Helper()
	file, program, err := f.program(name)
	if err != nil {
		t.Fatal(err)
	}
	program.once.Do(func() {
		build := exec.Command("go", "build", "-C", dir, "-o", file, pkg)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			program.err = fmt.Errorf("%s: %w\n%s", build, err, out)
		}
	})
	if program.err != nil {
		t.Fatal(program.err)
	}
	return file
}

func (f *Folder) program(name string) (file string, _ *built, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dir == "" {
		if f.dir, err = os.MkdirTemp("", "spotserve-programs-"); err != nil {
			return "", nil, err
		}
		f.programs = make(map[string]*built)
	}
	if f.programs[name] == nil {
		f.programs[name] = new(built)
	}
	return filepath.Join(f.dir, name), f.programs[name], nil
}

// Remove deletes the folder with all programs.
func (f *Folder) Remove() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return os.RemoveAll(f.dir)
}
