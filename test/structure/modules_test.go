package structure

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestModulesAgree(t *testing.T) {
	w := loadWorkspace(t)
	report(t, disagreements(w.goWork, w.modules))
}

func TestModulesAgreeObjects(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(*goWork, []module)
		want  string
	}{
		{"sound", func(*goWork, []module) {}, ""},
		{"wrong module path", func(_ *goWork, ms []module) { ms[0].goMod.Module.Path = "example.org/a" }, "is named"},
		{"not in go.work", func(w *goWork, _ []module) { w.Use = w.Use[1:] }, "a: not in go.work"},
		{"no such module", func(w *goWork, _ []module) { w.Use[0].DiskPath = "./gone" }, "go.work uses gone"},
		{"older go", func(_ *goWork, ms []module) { ms[1].goMod.Go = "1.25" }, "go 1.25"},
		{"no direct replace", func(_ *goWork, ms []module) {
			ms[1].goMod.Replace = nil
		}, "services/b/go.mod: no replace for " + prefix + "a"},
		{"no indirect replace", func(_ *goWork, ms []module) {
			ms[2].goMod.Replace = ms[2].goMod.Replace[:1]
		}, "services/c/go.mod: no replace for " + prefix + "a"},
		{"replace elsewhere", func(_ *goWork, ms []module) {
			ms[1].goMod.Replace[0].New.Path = "../a"
		}, "want ../../a"},
		{"local version", func(_ *goWork, ms []module) { ms[1].goMod.Require[0].Version = "v0.1.0" }, "want v0.0.0"},
		{"unknown local module", func(_ *goWork, ms []module) {
			ms[1].goMod.Require[0].Path = prefix + "gone"
		}, "no such member"},
		{"two versions", func(_ *goWork, ms []module) {
			ms[2].goMod.Require[1].Version = "v1.1.0"
		}, "example.org/lib: v1.0.0 in services/b, v1.1.0 in services/c"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, ms := soundWorkspace()
			c.spoil(&w, ms)
			mustFind(t, disagreements(w, ms), c.want)
		})
	}
}

// soundWorkspace has a module a, a module b on a, and a module c on b.
func soundWorkspace() (goWork, []module) {
	member := func(dir string, requires ...moduleVersion) module {
		m := module{dir: dir}
		m.goMod.Module.Path, m.goMod.Go, m.goMod.Require = prefix+dir, "1.26.0", requires
		return m
	}
	a := member("a")
	b := member("services/b", moduleVersion{prefix + "a", "v0.0.0"}, moduleVersion{"example.org/lib", "v1.0.0"})
	b.goMod.replace("a", "../../a")
	c := member("services/c", moduleVersion{prefix + "services/b", "v0.0.0"}, moduleVersion{"example.org/lib", "v1.0.0"})
	c.goMod.replace("services/b", "../b")
	c.goMod.replace("a", "../../a")
	w := goWork{Go: "1.26.0"}
	for _, dir := range []string{"./a", "./services/b", "./services/c"} {
		w.Use = append(w.Use, struct{ DiskPath string }{dir})
	}
	return w, []module{a, b, c}
}

func (m *goMod) replace(dir, with string) {
	m.Replace = append(m.Replace, struct{ Old, New moduleVersion }{moduleVersion{Path: prefix + dir}, moduleVersion{Path: with}})
}

// disagreements lists what keeps the members from building alone, or from
// building alike alone and in the workspace.
func disagreements(w goWork, ms []module) []string {
	var found []string
	object := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }

	byPath := map[string]module{}
	for _, m := range ms {
		byPath[m.goMod.Module.Path] = m
		if m.goMod.Module.Path != prefix+m.dir {
			object("%s/go.mod: the module is named %s, want %s", m.dir, m.goMod.Module.Path, prefix+m.dir)
		}
	}
	var used []string
	for _, u := range w.Use {
		dir := path.Clean(u.DiskPath)
		used = append(used, dir)
		if !slices.ContainsFunc(ms, func(m module) bool { return m.dir == dir }) {
			object("go.work uses %s, which has no go.mod", dir)
		}
	}
	versions := map[string]map[string][]string{} // third-party module, version, members
	for _, m := range ms {
		if !slices.Contains(used, m.dir) {
			object("%s: not in go.work", m.dir)
		}
		if m.goMod.Go != w.Go {
			object("%s/go.mod: go %s, but go.work says go %s", m.dir, m.goMod.Go, w.Go)
		}
		for _, r := range m.goMod.Require {
			if !strings.HasPrefix(r.Path, prefix) {
				if versions[r.Path] == nil {
					versions[r.Path] = map[string][]string{}
				}
				versions[r.Path][r.Version] = append(versions[r.Path][r.Version], m.dir)
				continue
			}
			if r.Version != "v0.0.0" {
				object("%s/go.mod: requires %s %s, want v0.0.0", m.dir, r.Path, r.Version)
			}
			if _, ok := byPath[r.Path]; !ok {
				object("%s/go.mod: requires %s, no such member", m.dir, r.Path)
			}
		}
		found = append(found, wrongReplaces(m, byPath)...)
	}
	return append(found, versionConflicts(versions)...)
}

// wrongReplaces checks that m's own go.mod replaces every member that m
// reaches, for the go command ignores the replaces of those in between.
func wrongReplaces(m module, byPath map[string]module) []string {
	var found []string
	for _, p := range slices.Sorted(maps.Keys(reached(m, byPath))) {
		i := slices.IndexFunc(m.goMod.Replace, func(r struct{ Old, New moduleVersion }) bool { return r.Old.Path == p })
		if i < 0 {
			found = append(found, fmt.Sprintf("%s/go.mod: no replace for %s, which it reaches", m.dir, p))
			continue
		}
		// Both folders are relative to the root, so this cannot fail.
		rel, _ := filepath.Rel(m.dir, byPath[p].dir)
		if want := filepath.ToSlash(rel); m.goMod.Replace[i].New.Path != want {
			found = append(found, fmt.Sprintf("%s/go.mod: replaces %s by %s, want %s", m.dir, p, m.goMod.Replace[i].New.Path, want))
		}
	}
	return found
}

// reached is the set of members that m requires, also indirectly.
func reached(m module, byPath map[string]module) map[string]bool {
	set := map[string]bool{}
	var visit func(module)
	visit = func(m module) {
		for _, r := range m.goMod.Require {
			if next, ok := byPath[r.Path]; ok && !set[r.Path] {
				set[r.Path] = true
				visit(next)
			}
		}
	}
	visit(m)
	return set
}

// versionConflicts lists the libraries that members want in several versions:
// alone, such a member would be built from other code than in the workspace.
func versionConflicts(versions map[string]map[string][]string) []string {
	var found []string
	for _, lib := range slices.Sorted(maps.Keys(versions)) {
		if len(versions[lib]) == 1 {
			continue
		}
		var parts []string
		for _, v := range slices.Sorted(maps.Keys(versions[lib])) {
			parts = append(parts, v+" in "+strings.Join(versions[lib][v], " "))
		}
		found = append(found, fmt.Sprintf("%s: %s (`go work sync` settles it)", lib, strings.Join(parts, ", ")))
	}
	return found
}

// TestMembersBuildAlone builds and vets each member the way its image is built.
func TestMembersBuildAlone(t *testing.T) {
	if os.Getenv("SPOTSERVE_SLOW") == "" {
		t.Skip("SKIPPED: builds every module with GOWORK=off, which takes minutes; set SPOTSERVE_SLOW=1 to run it")
	}
	w := loadWorkspace(t)
	for _, m := range slices.SortedFunc(slices.Values(w.modules), func(a, b module) int { return cmp.Compare(a.dir, b.dir) }) {
		t.Run(m.dir, func(t *testing.T) {
			for _, verb := range []string{"build", "vet"} {
				cmd := exec.CommandContext(t.Context(), "go", verb, "./...")
				cmd.Dir = filepath.Join(w.root, filepath.FromSlash(m.dir))
				cmd.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0")
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("GOWORK=off go %s ./... in %s: %v\n%s", verb, m.dir, err, out)
				}
			}
		})
	}
}
