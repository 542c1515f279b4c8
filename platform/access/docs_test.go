package access_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/platform/access"
	"github.com/spotserve/spotserve/platform/bus/jsapi"
)

var update = flag.Bool("update", false, "write the table of rights into docs/security.md")

// The lines of docs/security.md between which the table stands.
const (
	tableBegins = "<!-- rights: go test ./platform/access -update -->\n"
	tableEnds   = "<!-- end of rights -->\n"
)

// TestRightsAreDocumented: docs/security.md has the table.
func TestRightsAreDocumented(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "security.md")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, began := strings.Cut(string(text), tableBegins)
	have, tail, ended := strings.Cut(rest, tableEnds)
	if !began || !ended {
		t.Fatalf("%s has no place for the table between %q and %q", path, tableBegins, tableEnds)
	}
	want := table()
	if *update {
		if err := os.WriteFile(path, []byte(head+tableBegins+want+tableEnds+tail), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if have != want {
		t.Errorf("%s has\n%s\nthe rights are\n%s\ngo test ./platform/access -update writes them", path, have, want)
	}
}

// table is the grants of all roles.
func table() string {
	var b strings.Builder
	for _, role := range access.Roles() {
		node, whose := "", ""
		if role == access.Worker {
			node, whose = "NODE", " of NODE"
		}
		g := access.Of(role, node, jsapi.Inbox("KEY"))
		fmt.Fprintf(&b, "\n### %s%s\n\n| | subjects |\n|---|---|\n", role, whose)
		for _, list := range []struct {
			verb   string
			grants []access.Grant
		}{{"", g.Publish}, {"never: ", g.Deny}, {"hears: ", g.Subscribe}} {
			for _, grant := range list.grants {
				fmt.Fprintf(&b, "| %s%s | `%s` |\n", list.verb, grant.What, strings.Join(grant.Subjects, "` `"))
			}
		}
	}
	return b.String() + "\n"
}
