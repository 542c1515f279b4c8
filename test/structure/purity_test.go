package structure

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Core is a deterministic system: the same events in the same order give the
// same effects. So it must reach no clock, no file, no network, no goroutine
// and no randomness that is not seeded by its caller.

// impureImports are refused with everything beneath them.
var impureImports = []string{
	"C", "unsafe", "syscall", "plugin", "os", "io/ioutil", "path/filepath", "embed",
	"net", "log", "database/sql", "sync", "runtime", "crypto/rand", "hash/maphash",
}

// impureNames are refused though the rest of their package is welcome.
var impureNames = map[string][]string{
	"time": {
		"Now", "Since", "Until", "Sleep", "After", "Tick", "NewTimer", "NewTicker", "AfterFunc",
		"Local", "LoadLocation",
	},
	"context": {"WithTimeout", "WithTimeoutCause", "WithDeadline", "WithDeadlineCause", "AfterFunc"},
	"fmt":     {"Print", "Printf", "Println", "Scan", "Scanf", "Scanln"},
}

// seededNames are all that is welcome of a package whose other functions draw
// from a shared source.
var seededNames = map[string][]string{
	"math/rand":    {"New", "NewSource", "NewZipf", "Rand", "Source", "Source64", "Zipf"},
	"math/rand/v2": {"New", "NewPCG", "NewChaCha8", "NewZipf", "Rand", "Source", "PCG", "ChaCha8", "Zipf"},
}

var majorVersion = regexp.MustCompile(`^v[0-9]+$`)

func TestCoreIsPure(t *testing.T) {
	seen := 0
	for _, s := range loadWorkspace(t).sources {
		if !strings.HasPrefix(s.path, "core/") || s.isTest() {
			continue
		}
		seen++
		report(t, impurities(s))
	}
	if seen == 0 {
		t.Fatal("no source file found in core/")
	}
}

func TestCoreIsPureObjects(t *testing.T) {
	for _, c := range []struct{ name, code, want string }{
		{"standard library", `import "slices"; var _ = slices.Max[[]int]`, ""},
		{"core itself", `import "github.com/spotserve/spotserve/core/vtime"; var _ vtime.Time`, ""},
		{"duration", `import "time"; const d = 3 * time.Second`, ""},
		{"seeded generator", `import "math/rand/v2"; var r = rand.New(rand.NewPCG(1, 2))`, ""},
		{"method called like a clock", `type c struct{}; func (c) Now() {}; func f(x c) { x.Now() }`, ""},
		{"cancellation", `import "context"; func f(c context.Context) error { return c.Err() }`, ""},

		{"other module", `import _ "github.com/spotserve/spotserve/platform/bus"`, "only the standard library and core"},
		{"core's namesake", `import _ "github.com/spotserve/spotserve/corelike"`, "only the standard library and core"},
		{"third party", `import _ "gonum.org/v1/gonum/mat"`, "only the standard library and core"},
		{"net", `import _ "net"`, `imports "net"`},
		{"below net", `import _ "net/http"`, `imports "net/http"`},
		{"below os", `import _ "os/exec"`, `imports "os/exec"`},
		{"log", `import _ "log/slog"`, `imports "log/slog"`},
		{"locks", `import "sync"; var mu sync.Mutex`, `imports "sync"`},
		{"per-process hash seed", `import _ "hash/maphash"`, `imports "hash/maphash"`},
		{"dot import", `import . "time"; var d Duration`, "dot import"},
		{"clock", `import "time"; func f() { _ = time.Now() }`, "uses time.Now"},
		{"clock as a value", `import "time"; var now = time.Now`, "uses time.Now"},
		{"clock renamed", `import tm "time"; func f() { tm.Sleep(1) }`, "uses time.Sleep"},
		{"timer", `import "time"; var c = time.NewTimer(1)`, "uses time.NewTimer"},
		{"deadline", `import "context"; var f = context.WithTimeout`, "uses context.WithTimeout"},
		{"global randomness", `import "math/rand"; var x = rand.Intn(3)`, "uses math/rand.Intn"},
		{"global randomness, v2", `import "math/rand/v2"; var x = rand.IntN(3)`, "uses math/rand/v2.IntN"},
		{"standard output", `import "fmt"; func f() { fmt.Println() }`, "uses fmt.Println"},
		{"standard error", `func f() { println() }`, "uses println"},
		{"goroutine", `func f() { go f() }`, "go statement"},
		{"select", `func f() { select {} }`, "select"},
		{"channel", `var c = make(chan int)`, "channel"},
		{"receive", `func f(c ...interface{ Done() <-chan int }) { <-c[0].Done() }`, "channel receive"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := parse("core/x/x.go", "package x\n"+c.code)
			if err != nil {
				t.Fatal(err)
			}
			mustFind(t, impurities(s), c.want)
		})
	}
}

// impurities lists what s does that core must not. It takes names at face
// value: a variable called like an imported package is taken for the package.
func impurities(s source) []string {
	var found []string
	object := func(pos token.Pos, format string, args ...any) {
		found = append(found, s.at(pos)+": "+fmt.Sprintf(format, args...))
	}
	packages := map[string]string{} // by the name they have in this file
	for _, spec := range s.file.Imports {
		p, _ := strconv.Unquote(spec.Path.Value)
		name := defaultName(p)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		packages[name] = p
		switch {
		case slices.ContainsFunc(impureImports, func(bad string) bool { return within(p, bad) }):
			object(spec.Pos(), "core imports %q", p)
		case !within(p, prefix+"core") && strings.Contains(strings.Split(p, "/")[0], "."):
			object(spec.Pos(), "core imports %q, allowed are only the standard library and core", p)
		case name == ".":
			object(spec.Pos(), "core has a dot import of %q, which hides what it uses", p)
		}
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if id, ok := n.X.(*ast.Ident); ok && impureName(packages[id.Name], n.Sel.Name) {
				object(n.Pos(), "core uses %s.%s", packages[id.Name], n.Sel.Name)
			}
		case *ast.CallExpr:
			if id, ok := n.Fun.(*ast.Ident); ok && (id.Name == "print" || id.Name == "println") {
				object(n.Pos(), "core uses %s", id.Name)
			}
		case *ast.GoStmt:
			object(n.Pos(), "core has a go statement")
		case *ast.SelectStmt:
			object(n.Pos(), "core has a select")
		case *ast.ChanType:
			object(n.Pos(), "core has a channel")
		case *ast.UnaryExpr:
			if n.Op == token.ARROW {
				object(n.Pos(), "core has a channel receive")
			}
		}
		return true
	})
	return found
}

func impureName(pkg, name string) bool {
	if seeded, ok := seededNames[pkg]; ok {
		return !slices.Contains(seeded, name)
	}
	return slices.Contains(impureNames[pkg], name)
}

// within reports whether the import path p is dir or lies beneath it.
func within(p, dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") }

// defaultName is the name that an import has where the file gives none, by the
// convention that everything imported here follows.
func defaultName(importPath string) string {
	if base := path.Base(importPath); !majorVersion.MatchString(base) {
		return base
	}
	return path.Base(path.Dir(importPath))
}

func position(file string, fset *token.FileSet, pos token.Pos) string {
	return fmt.Sprintf("%s:%d", file, fset.Position(pos).Line)
}
