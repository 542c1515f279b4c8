package structure

import (
	"fmt"
	"go/ast"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	fence     = regexp.MustCompile("(?s)(^|\n)[ \t]*(```|~~~).*?\n[ \t]*(```|~~~)")
	codeSpan  = regexp.MustCompile("`[^`\n]+`")
	link      = regexp.MustCompile(`\]\(<?([^)\s>]+)>?[^)]*\)`)
	scheme    = regexp.MustCompile(`^[a-z][a-z0-9+.-]*:`)
	testName  = regexp.MustCompile(`^(Test|Fuzz|Benchmark|Example)[A-Z0-9_]\w*$`)
	typeName  = regexp.MustCompile(`^([a-z]\w*)\.([A-Z]\w*)$`)
	repoPath  = regexp.MustCompile(`^[\w.-]+(/[\w.-]+)+/?$`)
	glossary  = "docs/glossary.md"
	promises  = "docs/invariants.md"
	mustExist = []string{glossary, promises}
)

func TestDocs(t *testing.T) {
	w := loadWorkspace(t)
	for _, doc := range mustExist {
		if !w.exists(doc) {
			t.Errorf("%s is missing", doc)
		}
	}
	names := declared(w.sources)
	for _, doc := range w.docs {
		text, err := os.ReadFile(filepath.Join(w.root, filepath.FromSlash(doc)))
		if err != nil {
			t.Fatal(err)
		}
		report(t, deadLinks(doc, string(text), w.exists))
		report(t, unknownTests(doc, string(text), names))
		if doc == glossary {
			report(t, unknownPaths(doc, string(text), w.exists))
			report(t, unknownTypes(doc, string(text), names))
		}
	}
}

func TestDocsObjects(t *testing.T) {
	exists := func(p string) bool { return p == "README.md" || p == "docs/a.md" || p == "core/tune" }
	names := map[string]bool{"TestHolds": true, "tune.Choice": true}
	for _, c := range []struct {
		name  string
		found []string
		want  string
	}{
		{"good links", deadLinks("docs/b.md", "[a](a.md#part) [r](../README.md) [w](https://x.org/y) [h](#here)", exists), ""},
		{"link in code", deadLinks("docs/b.md", "`[a](gone.md)`\n```\n[a](gone.md)\n```\n", exists), ""},
		{"dead link", deadLinks("docs/b.md", "see\n[a](gone.md)", exists), "docs/b.md: links to gone.md"},
		{"dead link after code", deadLinks("docs/b.md", "```\nx\n```\n[a](gone.md)", exists), "links to gone.md"},
		{"dead image", deadLinks("README.md", "![a](docs/gone.png \"title\")", exists), "links to docs/gone.png"},
		{"link out of the tree", deadLinks("README.md", "[a](../README.md)", exists), "links to ../README.md"},
		{"known test", unknownTests("docs/b.md", "checked by `TestHolds`", names), ""},
		{"unknown test", unknownTests("docs/b.md", "checked by `TestGone`", names), "no test TestGone"},
		{"known path", unknownPaths(glossary, "| `core/tune` |", exists), ""},
		{"unknown path", unknownPaths(glossary, "| `core/gone.go` |", exists), "no file core/gone.go"},
		{"known type", unknownTypes(glossary, "| `tune.Choice` |", names), ""},
		{"unknown type", unknownTypes(glossary, "| `tune.Gone` |", names), "nothing is called tune.Gone"},
	} {
		t.Run(c.name, func(t *testing.T) { mustFind(t, c.found, c.want) })
	}
}

func (w workspace) exists(slashPath string) bool {
	_, err := os.Stat(filepath.Join(w.root, filepath.FromSlash(slashPath)))
	return err == nil
}

// deadLinks lists the relative links of a document that lead nowhere; where
// they are shown as code they are not links.
func deadLinks(doc, text string, exists func(string) bool) []string {
	text = codeSpan.ReplaceAllString(fence.ReplaceAllString(text, ""), "")
	var found []string
	for _, m := range link.FindAllStringSubmatch(text, -1) {
		target, _, _ := strings.Cut(m[1], "#")
		if target == "" || scheme.MatchString(target) {
			continue
		}
		plain, err := url.PathUnescape(target)
		if p := path.Join(path.Dir(doc), plain); err != nil || strings.HasPrefix(p, "../") || !exists(p) {
			found = append(found, fmt.Sprintf("%s: links to %s, which is not there", doc, target))
		}
	}
	return found
}

func unknownTests(doc, text string, names map[string]bool) []string {
	var found []string
	for _, span := range spans(text) {
		if testName.MatchString(span) && !names[span] {
			found = append(found, fmt.Sprintf("%s: there is no test %s", doc, span))
		}
	}
	return found
}

func unknownPaths(doc, text string, exists func(string) bool) []string {
	var found []string
	for _, span := range spans(text) {
		if repoPath.MatchString(span) && !exists(strings.TrimSuffix(span, "/")) {
			found = append(found, fmt.Sprintf("%s: there is no file %s", doc, span))
		}
	}
	return found
}

func unknownTypes(doc, text string, names map[string]bool) []string {
	var found []string
	for _, span := range spans(text) {
		if typeName.MatchString(span) && !names[span] {
			found = append(found, fmt.Sprintf("%s: nothing is called %s", doc, span))
		}
	}
	return found
}

// spans lists what a document sets as code within its text.
func spans(text string) []string {
	var out []string
	for _, span := range codeSpan.FindAllString(fence.ReplaceAllString(text, ""), -1) {
		out = append(out, strings.Trim(span, "`"))
	}
	return out
}

// declared holds the name of every test, and package.Name of everything else
// that is declared at the top of a file.
func declared(sources []source) map[string]bool {
	names := map[string]bool{}
	for _, s := range sources {
		add := func(name string) {
			names[s.file.Name.Name+"."+name] = true
			if s.isTest() {
				names[name] = true
			}
		}
		for _, d := range s.file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil {
					add(d.Name.Name)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					if ts, ok := spec.(*ast.TypeSpec); ok {
						add(ts.Name.Name)
					}
				}
			}
		}
	}
	return names
}
