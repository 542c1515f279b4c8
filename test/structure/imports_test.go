package structure

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// mayImport is the one direction of imports, a line a module; patterns are
// those of path.Match. What is not listed is refused: no service imports
// another, nothing imports a command.
var mayImport = []struct {
	from string
	to   []string
}{
	{"core", nil},
	{"proto", nil},
	{"catalog", []string{"core"}},
	{"engine", []string{"core"}},
	{"platform", []string{"core", "proto"}},
	{"services/*", []string{"engine", "platform", "catalog", "core"}},
	{"cmd/*", []string{"services/*", "engine", "platform", "catalog", "core"}},
	{"test", []string{"services/*", "engine", "platform", "catalog", "core", "proto"}},
	{"bench", []string{"services/*", "engine", "platform", "catalog", "core", "proto"}},
}

// wireFormat is the only package outside tests and benchmarks that may see the
// generated messages: everyone else speaks core's events.
const wireFormat = "platform/wire"

// edge is an import of one package of the workspace by another.
type edge struct {
	at       string // file:line
	from, to string // package folders, relative to the root
}

func TestImportsGoOneWay(t *testing.T) {
	w := loadWorkspace(t)
	dirs := moduleDirs(w)
	for _, s := range w.sources {
		for _, e := range edges(s) {
			report(t, forbidden(e, dirs))
		}
	}
}

func TestImportsGoOneWayObjects(t *testing.T) {
	dirs := moduleDirs(loadWorkspace(t))
	for _, c := range []struct {
		from, to string
		want     string
	}{
		{"core/tune", "core/cost", ""},
		{"platform/wire", "proto/spotserve/v1", ""},
		{"platform/wire/wiretest", "proto/spotserve/v1", ""},
		{"services/planner", "platform/bus", ""},
		{"services/planner/cmd/planner", "services/planner", ""},
		{"cmd/spotserve", "services/worker", ""},
		{"test/e2e", "services/collector", ""},
		{"bench", "proto/spotserve/v1", ""},

		{"core/tune", "platform/clock", "core must not import platform"},
		{"core/tune", "proto/spotserve/v1", "core must not import proto"},
		{"proto/spotserve/v1", "core/event", "proto must not import core"},
		{"catalog", "platform/config", "catalog must not import platform"},
		{"catalog", "platform/store", "catalog must not import platform"},
		{"platform/actor", "catalog", "platform must not import catalog"},
		{"platform/actor", "services/planner", "platform must not import services/planner"},
		{"platform/bus", "proto/spotserve/v1", "only platform/wire"},
		{"services/planner", "services/worker", "services/planner must not import services/worker"},
		{"services/planner", "proto/spotserve/v1", "services/planner must not import proto"},
		{"services/planner", "test/fakes", "services/planner must not import test"},
		{"services/planner", "cmd/spotserve/app", "services/planner must not import cmd/spotserve"},
		{"test/e2e", "cmd/spotserve/app", "test must not import cmd/spotserve"},
		{"cmd/spotserve", "bench", "cmd/spotserve must not import bench"},
		{"core", "nowhere/x", "belongs to no module"},
	} {
		t.Run(c.from+" to "+c.to, func(t *testing.T) {
			mustFind(t, forbidden(edge{"x.go:1", c.from, c.to}, dirs), c.want)
		})
	}
}

func TestEdgesAreRead(t *testing.T) {
	s, err := parse("services/planner/run.go", `package planner
import (
	"fmt"
	b "github.com/spotserve/spotserve/platform/bus"
	"github.com/nats-io/nats.go"
)`)
	if err != nil {
		t.Fatal(err)
	}
	want := []edge{{"services/planner/run.go:4", "services/planner", "platform/bus"}}
	if got := edges(s); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// edges lists what s imports from this workspace.
func edges(s source) []edge {
	var es []edge
	for _, spec := range s.file.Imports {
		p, _ := strconv.Unquote(spec.Path.Value)
		if to, ok := strings.CutPrefix(p, prefix); ok {
			es = append(es, edge{s.at(spec.Pos()), path.Dir(s.path), to})
		}
	}
	return es
}

// forbidden says what is wrong with e, given the folders of all modules.
func forbidden(e edge, dirs []string) []string {
	from, to := moduleOf(e.from, dirs), moduleOf(e.to, dirs)
	switch {
	case from == "" || to == "":
		return []string{fmt.Sprintf("%s: %s or %s belongs to no module of go.work", e.at, e.from, e.to)}
	case from == to:
		return nil
	case !allowed(from, to):
		return []string{fmt.Sprintf("%s: %s must not import %s (%s)", e.at, from, to, e.to)}
	case to == "proto" && from == "platform" && !within(e.from, wireFormat):
		return []string{fmt.Sprintf("%s: %s imports %s, which only %s may", e.at, e.from, e.to, wireFormat)}
	}
	return nil
}

func allowed(from, to string) bool {
	for _, rule := range mayImport {
		if matches(rule.from, from) {
			return slices.ContainsFunc(rule.to, func(p string) bool { return matches(p, to) })
		}
	}
	return false
}

func matches(pattern, dir string) bool {
	ok, err := path.Match(pattern, dir)
	return err == nil && ok
}

// moduleOf is the folder of the module that holds a package, "" if none does.
func moduleOf(pkg string, dirs []string) string {
	longest := ""
	for _, d := range dirs {
		if within(pkg, d) && len(d) > len(longest) {
			longest = d
		}
	}
	return longest
}

func moduleDirs(w workspace) []string {
	var dirs []string
	for _, m := range w.modules {
		dirs = append(dirs, m.dir)
	}
	return dirs
}
