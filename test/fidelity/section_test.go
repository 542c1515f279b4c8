package fidelity

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the tables into docs/fidelity.md")

var document = filepath.Join("..", "..", "docs", "fidelity.md")

// keepSection holds the named section of the document to the text, or writes
// it there with -update. A section is what stands between its two markers.
func keepSection(t *testing.T, name, text string) {
	t.Helper()
	doc, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	have, replaced, err := section(string(doc), name, text)
	switch {
	case err != nil:
		t.Fatalf("%s: %v", document, err)
	case have == text:
	case *update:
		if err := os.WriteFile(document, []byte(replaced), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("section %s of docs/fidelity.md is out of date; go test ./test/fidelity -update writes it anew\nit says\n%s\nthe model says\n%s", name, have, text)
	}
}

// keepLine holds one line of the named section to the text.
func keepLine(t *testing.T, name, line string) {
	t.Helper()
	doc, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	have, _, err := section(string(doc), name, "")
	if err != nil {
		t.Fatalf("%s: %v", document, err)
	}
	if !strings.Contains("\n"+have, "\n"+line) {
		t.Errorf("section %s of docs/fidelity.md is out of date; go test ./test/fidelity -update writes it anew\nit says\n%s\nthe model says\n%s", name, have, line)
	}
}

// section returns what stands in the named section, and the document with text
// in its place.
func section(doc, name, text string) (have, replaced string, err error) {
	begin, end := fmt.Sprintf("<!-- %s: begin -->\n", name), fmt.Sprintf("<!-- %s: end -->", name)
	before, rest, ok := strings.Cut(doc, begin)
	have, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		return "", "", fmt.Errorf("the markers %q and %q are not there", strings.TrimSpace(begin), end)
	}
	return have, before + begin + text + end + after, nil
}

func TestSection(t *testing.T) {
	const doc = "a\n<!-- x: begin -->\nold\n<!-- x: end -->\nb\n"
	have, replaced, err := section(doc, "x", "new\n")
	if have != "old\n" || replaced != strings.Replace(doc, "old", "new", 1) || err != nil {
		t.Errorf("got %q, %q, %v", have, replaced, err)
	}
	for _, broken := range []string{"", "<!-- x: begin -->\n", "<!-- x: end -->"} {
		if _, _, err := section(broken, "x", ""); err == nil {
			t.Errorf("no error for %q", broken)
		}
	}
}
