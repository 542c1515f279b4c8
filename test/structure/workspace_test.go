// Package structure holds the tests of the repository's own shape: what may
// import what, that core stays pure, that every module builds alone, and that
// the documents name things that exist. All but the builds read source files
// only, so they run in about a second.
package structure

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// prefix is what the paths of all modules of the workspace start with.
const prefix = "github.com/spotserve/spotserve/"

// workspace is the repository as read from its files.
type workspace struct {
	root    string
	goWork  goWork
	modules []module
	sources []source
	docs    []string // markdown files, slash-separated, relative to root
}

// goWork is what `go work edit -json` prints, as far as it is needed.
type goWork struct {
	Go  string
	Use []struct{ DiskPath string }
}

// module is a member as its go.mod describes it.
type module struct {
	dir   string // slash-separated, relative to the root
	goMod goMod
}

// goMod is what `go mod edit -json` prints, as far as it is needed.
type goMod struct {
	Module  struct{ Path string }
	Go      string
	Require []moduleVersion
	Replace []struct{ Old, New moduleVersion }
}

type moduleVersion struct{ Path, Version string }

// source is one parsed Go file.
type source struct {
	path string // slash-separated, relative to the root
	fset *token.FileSet
	file *ast.File
	text string
}

func (s source) isTest() bool { return strings.HasSuffix(s.path, "_test.go") }

func (s source) isGenerated() bool { return ast.IsGenerated(s.file) }

// at renders a position as file:line.
func (s source) at(pos token.Pos) string { return position(s.path, s.fset, pos) }

// load reads the workspace once for all tests.
var load = sync.OnceValues(readWorkspace)

func loadWorkspace(t *testing.T) workspace {
	t.Helper()
	w, err := load()
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func readWorkspace() (workspace, error) {
	root, err := findRoot()
	if err != nil {
		return workspace{}, err
	}
	w := workspace{root: root}
	if err := goEdit(&w.goWork, "work", filepath.Join(root, "go.work")); err != nil {
		return workspace{}, err
	}
	err = filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if file != root && ignoredDir(d.Name()) {
				return filepath.SkipDir
			}
			return nil
		}
		return w.add(file)
	})
	return w, err
}

// ignoredDir reports whether the go command or git passes over a folder.
func ignoredDir(name string) bool {
	return strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") ||
		slices.Contains([]string{"bin", "testdata", "spotserve-data", "node_modules"}, name)
}

// add takes one file of the tree into the workspace.
func (w *workspace) add(file string) error {
	rel, err := filepath.Rel(w.root, file)
	if err != nil {
		return err
	}
	rel = filepath.ToSlash(rel)
	switch {
	case path.Base(rel) == "go.mod":
		m := module{dir: path.Dir(rel)}
		if err := goEdit(&m.goMod, "mod", file); err != nil {
			return err
		}
		w.modules = append(w.modules, m)
	case path.Ext(rel) == ".go":
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		s, err := parse(rel, string(text))
		if err != nil {
			return err
		}
		w.sources = append(w.sources, s)
	case path.Ext(rel) == ".md":
		w.docs = append(w.docs, rel)
	}
	return nil
}

func parse(name, text string) (source, error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
	return source{path: name, fset: fset, file: file, text: text}, err
}

// findRoot walks up to the folder that holds go.work; the environment's GOWORK
// may be off.
func findRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.work")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", os.ErrNotExist
		}
		dir = parent
	}
}

// goEdit lets the go command parse a go.mod ("mod") or go.work ("work") file.
func goEdit(into any, kind, file string) error {
	cmd := exec.Command("go", kind, "edit", "-json", file)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return err
	}
	return json.Unmarshal(out, into)
}

// report fails the test with every finding on a line of its own.
func report(t *testing.T, findings []string) {
	t.Helper()
	for _, f := range findings {
		t.Error(f)
	}
}

// mustFind is the other half of every check here: it has to object to what it
// is there to catch, with a finding that contains want, or stay silent if want
// is empty.
func mustFind(t *testing.T, findings []string, want string) {
	t.Helper()
	if want == "" {
		if len(findings) > 0 {
			t.Errorf("objects to what is allowed: %q", findings)
		}
		return
	}
	if !slices.ContainsFunc(findings, func(f string) bool { return strings.Contains(f, want) }) {
		t.Errorf("findings %q, want one with %q", findings, want)
	}
}
