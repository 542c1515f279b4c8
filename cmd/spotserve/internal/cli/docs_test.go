package cli

import (
	"flag"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/spotserve/spotserve/catalog"
	"github.com/spotserve/spotserve/cmd/spotserve/internal/result"
	"github.com/spotserve/spotserve/cmd/spotserve/internal/virtual"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/platform/obs"
	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/platform/store/open"
)

var updateREADME = flag.Bool("update-readme", false, "write the result of a run into README.md")

// docs is the folder of the documents.
var docs = filepath.Join("..", "..", "..", "..", "docs")

var (
	heading  = regexp.MustCompile(`(?m)^##+ (.*)$`)
	codeSpan = regexp.MustCompile("`([^`\n]+)`")
	sqlBlock = regexp.MustCompile("(?s)```sql\n(.*?)```")
)

// sections returns the text below each heading of a document, by the heading
// without its backquotes.
func sections(t *testing.T, name string) map[string]string {
	t.Helper()
	text := readDoc(t, name)
	out := make(map[string]string)
	found := heading.FindAllStringSubmatchIndex(text, -1)
	for i, h := range found {
		end := len(text)
		if i+1 < len(found) {
			end = found[i+1][0]
		}
		out[strings.ReplaceAll(text[h[2]:h[3]], "`", "")] = text[h[1]:end]
	}
	return out
}

func readDoc(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(docs, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// flagsIn lists the flags that a text names as code.
func flagsIn(text string) map[string]bool {
	out := make(map[string]bool)
	for _, span := range codeSpan.FindAllStringSubmatch(text, -1) {
		if flag, ok := strings.CutPrefix(span[1], "--"); ok {
			name, _, _ := strings.Cut(flag, " ")
			out[name] = true
		}
	}
	return out
}

// rows returns the cells of the tables in a text, without backquotes around
// them, by their first cell; a first cell with several names counts for each.
func rows(text string) map[string][]string {
	out := make(map[string][]string)
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		names := codeSpan.FindAllStringSubmatch(cells[0], -1)
		for i, c := range cells {
			cells[i] = strings.Trim(strings.TrimSpace(c), "`")
		}
		for _, name := range names {
			out[name[1]] = cells
		}
	}
	return out
}

func commands(root *cobra.Command) map[string]*cobra.Command {
	out := make(map[string]*cobra.Command)
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			out[strings.TrimSuffix(sub.UseLine(), " [flags]")] = sub
			walk(sub)
		}
	}
	walk(root)
	return out
}

// TestCommandsAreDocumented holds docs/cli.md to the commands and flags that
// there are: a section a command, and in it all of its flags and no others.
func TestCommandsAreDocumented(t *testing.T) {
	root := (&app{obs: obs.Options{LogLevel: slog.LevelWarn}}).root() // as Main makes it
	doc := sections(t, "cli.md")
	global := doc["Global flags"]
	checkFlags(t, "global flags", global, root.PersistentFlags(), nil)
	delete(doc, "Global flags")
	all := commands(root)
	for use, cmd := range all {
		text, ok := doc[use]
		if !ok {
			t.Errorf("docs/cli.md has no section %q", use)
			continue
		}
		checkFlags(t, use, text, cmd.LocalNonPersistentFlags(), flagsIn(global))
	}
	for title := range doc {
		if strings.HasPrefix(title, "spotserve ") && all[title] == nil {
			t.Errorf("docs/cli.md has a section %q, but there is no such command; there are %q", title, slices.Sorted(maps.Keys(all)))
		}
	}
}

// checkFlags compares the flags that a text names with those that there are;
// others may be named too. A row of a table gives the default.
func checkFlags(t *testing.T, where, text string, fs *pflag.FlagSet, others map[string]bool) {
	t.Helper()
	named, table := flagsIn(text), rows(text)
	fs.VisitAll(func(f *pflag.Flag) {
		switch row, ok := table["--"+f.Name]; {
		case f.Name == "help":
		case !named[f.Name]:
			t.Errorf("%s: --%s is not documented", where, f.Name)
		case ok && row[1] != strings.Trim(f.DefValue, "[]"):
			t.Errorf("%s: the default of --%s is documented as %q, it is %q", where, f.Name, row[1], f.DefValue)
		}
	})
	for name := range named {
		if fs.Lookup(name) == nil && !others[name] {
			t.Errorf("%s: --%s is documented, but there is no such flag", where, name)
		}
	}
}

func TestDocumentedFlagsAreRead(t *testing.T) {
	text := "see `--a json`\n| flag | default | meaning |\n|---|---|---|\n| `--b`, `--c` | `60` | more |\n| `--d` | | none |\n"
	if got := flagsIn(text); !maps.Equal(got, map[string]bool{"a": true, "b": true, "c": true, "d": true}) {
		t.Errorf("got flags %v", got)
	}
	got := rows(text)
	if len(got) != 3 || got["--b"][1] != "60" || got["--c"][1] != "60" || got["--d"][1] != "" {
		t.Errorf("got rows %q", got)
	}
}

// TestJSONNamesAreDocumented: the names of --output json are a promise.
func TestJSONNamesAreDocumented(t *testing.T) {
	documented := rows(sections(t, "cli.md")["JSON"])
	for _, typ := range []reflect.Type{reflect.TypeFor[result.Result](), reflect.TypeFor[result.Config]()} {
		for field := range typ.Fields() {
			name := field.Tag.Get("json")
			if name == "-" {
				continue
			}
			if documented[name] == nil {
				t.Errorf("docs/cli.md does not document the JSON name %q", name)
			}
			delete(documented, name)
		}
	}
	for name := range documented {
		t.Errorf("docs/cli.md documents the JSON name %q, but there is none", name)
	}
}

func TestExitCodesAreDocumented(t *testing.T) {
	text := sections(t, "cli.md")["Exit codes"]
	for _, row := range []string{"| 0 |", "| 1 |", "| 2 |", "| 130 |"} {
		if !strings.Contains(text, row) {
			t.Errorf("docs/cli.md has no row %q", row)
		}
	}
}

// TestSQLIsDocumented holds docs/sql.md to the tables and views that there are,
// and runs its queries.
func TestSQLIsDocumented(t *testing.T) {
	url := "sqlite:" + filepath.Join(t.TempDir(), "store.db")
	fill(t, url)
	r, err := open.OpenReader(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	query := func(sql string) store.Rows {
		rows, err := r.Query(t.Context(), sql)
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		return rows
	}
	doc := sections(t, "sql.md")
	for _, row := range query("SELECT name FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY name").Values {
		name := row[0].(string)
		have := query("SELECT * FROM " + name + " LIMIT 0").Columns
		documented := rows(doc[name])
		for _, column := range have {
			if documented[column] == nil {
				t.Errorf("docs/sql.md, section %s: column %s is not documented", name, column)
			}
			delete(documented, column)
		}
		for column := range documented {
			t.Errorf("docs/sql.md, section %s: there is no column %s", name, column)
		}
	}
	blocks := sqlBlock.FindAllStringSubmatch(readDoc(t, "sql.md"), -1)
	if len(blocks) < 5 {
		t.Errorf("docs/sql.md has %d queries, want at least 5", len(blocks))
	}
	for _, block := range blocks {
		if got := query(block[1]); len(got.Values) == 0 {
			t.Errorf("docs/sql.md: this query finds nothing in a store with runs:\n%s", block[1])
		}
	}
}

// fill stores the runs that the queries of docs/sql.md ask for.
func fill(t *testing.T, url string) {
	t.Helper()
	w, err := open.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	runner := virtual.NewRunner(w)
	for seed := range uint64(2) {
		if _, err := runner.Run(t.Context(), event.StartExperiment{
			Experiment: experiment.EndToEnd, Approach: string(experiment.SpotServe), Model: "20B", Trace: "As",
			Options: event.StartOptions{Seed: seed + 1},
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestRefusalsAreDocumented gives the broken files of docs/experiments.md to
// the readers and expects the answers that stand beside them. A newline is
// written ⏎ there.
func TestRefusalsAreDocumented(t *testing.T) {
	readers := map[string]func(string, io.Reader) error{
		"Availability, JSON lines": func(name string, r io.Reader) error { _, err := catalog.ReadAvailability(name, r); return err },
		"Availability, CSV":        func(name string, r io.Reader) error { _, err := catalog.ReadAvailabilityCSV(name, r); return err },
		"Arrivals":                 func(name string, r io.Reader) error { _, err := catalog.ReadArrivals(name, r); return err },
		"Requests, CSV":            func(name string, r io.Reader) error { _, err := catalog.ReadRequestsCSV(name, r); return err },
		"Latency profile":          func(name string, r io.Reader) error { _, err := catalog.ReadProfile(name, r); return err },
	}
	doc := sections(t, "experiments.md")
	for title, read := range readers {
		broken := rows(doc[title])
		if len(broken) < 5 {
			t.Errorf("docs/experiments.md, %s: %d refusals, want at least 5", title, len(broken))
		}
		for file, row := range broken {
			err := read("FILE", strings.NewReader(strings.ReplaceAll(file, "⏎", "\n")))
			if err == nil || err.Error() != row[1] {
				t.Errorf("docs/experiments.md, %s: %s is answered by\n%v, not by\n%s", title, file, err, row[1])
			}
		}
	}
}

// TestREADMEShowsTheTable: what the README shows is what a newcomer gets.
func TestREADMEShowsTheTable(t *testing.T) {
	url := "sqlite:" + filepath.Join(t.TempDir(), "store.db")
	fill(t, url)
	r, err := open.OpenReader(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	res, err := result.Load(t.Context(), r, "e2e-v1")
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := res.Text(&text); err != nil {
		t.Fatal(err)
	}
	// The head says how it was paced, the end where it is stored.
	_, tables, _ := strings.Cut(text.String(), "\n\n")
	tables, _, _ = strings.Cut(tables, "store")
	shown := readDoc(t, "../README.md")
	head, rest, _ := strings.Cut(shown, "time scale 60, finished\n\n")
	have, _, found := strings.Cut(rest, "figure  spotserve-data/")
	switch {
	case !found:
		t.Error("README.md shows no result of a run")
	case have == tables:
	case *updateREADME:
		updated := strings.Replace(shown, have, tables, 1)
		if err := os.WriteFile(filepath.Join(docs, "..", "README.md"), []byte(updated), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("README.md shows\n%s\nthe run prints\n%s\ngo test ./cmd/spotserve/internal/cli -update-readme writes it anew", have, tables)
	}
	if !strings.Contains(head, "go run ./cmd/spotserve e2e spotserve 20B As") {
		t.Error("README.md does not say which run it shows")
	}
}
