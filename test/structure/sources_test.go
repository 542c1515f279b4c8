package structure

import (
	"fmt"
	"go/ast"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// maxLines is where a hand-written file stops being readable in one sitting.
const maxLines = 600

// panicsAllowed names the files outside tests that may call panic, each with
// the reason. Bad input is never one.
var panicsAllowed = map[string]string{}

// noPanic are the folders whose code runs in a service and so returns errors.
var noPanic = []string{"core", "platform", "services"}

// testKit matches packages of test code that others' tests run, bustest say.
var testKit = regexp.MustCompile(`/[a-z]+test/`)

var unfinished = regexp.MustCompile(`\b(TODO|FIXME|XXX)\b`)

func TestSourcesAreFinished(t *testing.T) {
	panics := map[string]bool{}
	for _, s := range loadWorkspace(t).sources {
		if s.isGenerated() {
			continue
		}
		report(t, tooLong(s))
		report(t, leftOpen(s))
		if found := panicCalls(s); len(found) > 0 {
			panics[s.path] = true
			if panicsAllowed[s.path] == "" {
				report(t, found)
			}
		}
	}
	for _, file := range slices.Sorted(maps.Keys(panicsAllowed)) {
		if !panics[file] {
			t.Errorf("%s: may panic by panicsAllowed, but does not: drop the entry", file)
		}
	}
}

func TestSourcesAreFinishedObjects(t *testing.T) {
	for _, c := range []struct {
		name, path, code, want string
		check                  func(source) []string
	}{
		{"short", "core/x.go", strings.Repeat("\n", maxLines-2), "", tooLong},
		{"long", "core/x.go", strings.Repeat("\n", maxLines), "601 lines", tooLong},
		{"done", "core/x.go", "// the todo list of the planner", "", leftOpen},
		{"left open", "core/x.go", "// " + "TO" + "DO: later", "TO" + "DO", leftOpen},
		{"left open in a body", "test/x.go", "func f() { /* " + "FIX" + "ME */ }", "FIX" + "ME", leftOpen},
		{"panics", "services/a/x.go", `func f() { panic("no") }`, "services/a/x.go:2: calls panic", panicCalls},
		{"panics in a test", "services/a/x_test.go", `func f() { panic("no") }`, "", panicCalls},
		{"panics in a conformance suite", "platform/bus/bustest/x.go", `func f() { panic("no") }`, "", panicCalls},
		{"method called panic", "core/x.go", `type t struct{}; func (t) panic() {}; func f(x t) { x.panic() }`, "", panicCalls},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := parse(c.path, "package x\n"+c.code)
			if err != nil {
				t.Fatal(err)
			}
			mustFind(t, c.check(s), c.want)
		})
	}
}

func tooLong(s source) []string {
	if n := strings.Count(strings.TrimSuffix(s.text, "\n"), "\n") + 1; n > maxLines {
		return []string{fmt.Sprintf("%s: %d lines, at most %d are allowed: split it by subject", s.path, n, maxLines)}
	}
	return nil
}

func leftOpen(s source) []string {
	var found []string
	for _, group := range s.file.Comments {
		for _, c := range group.List {
			if word := unfinished.FindString(c.Text); word != "" {
				found = append(found, fmt.Sprintf("%s: a comment says %s", s.at(c.Pos()), word))
			}
		}
	}
	return found
}

func panicCalls(s source) []string {
	if s.isTest() || testKit.MatchString(s.path) || !slices.ContainsFunc(noPanic, func(dir string) bool { return within(s.path, dir) }) {
		return nil
	}
	var found []string
	ast.Inspect(s.file, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			if id, ok := call.Fun.(*ast.Ident); ok && id.Name == "panic" {
				found = append(found, s.at(call.Pos())+": calls panic; return an error instead")
			}
		}
		return true
	})
	return found
}
