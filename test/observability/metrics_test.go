package observability

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// TestNames: metrics are named after their service, in base units; what counts up
// says so; none has a label whose values grow with use.
func TestNames(t *testing.T) {
	metrics := services(t)
	all := ours(families(t, metrics))
	if len(all) < 50 {
		t.Fatalf("only %d metrics: are all services set up?", len(all))
	}
	problems, err := testutil.GatherAndLint(metrics, slices.Collect(maps.Keys(all))...)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	subsystem := regexp.MustCompile(`^spotserve_((replayer|planner|worker|collector|plotter|bus)_[a-z_]+|build_info|condition_met)$`)
	for name, f := range all {
		if !subsystem.MatchString(name) {
			t.Errorf("%s is named after no service", name)
		}
		if (f.kind == counter) != strings.HasSuffix(name, "_total") {
			t.Errorf("%s is a %s", name, f.kind)
		}
		if !strings.HasSuffix(f.help, ".") || len(f.help) < 15 {
			t.Errorf("%s: help %q is no sentence", name, f.help)
		}
		for _, label := range f.labels {
			allowed := []string{
				"kind", "reason", "cause", "state", "context", "from", "table", "result", "answer", "client", "condition",
				"version", "revision", "schema", "goversion",
			}
			if strings.HasPrefix(name, "spotserve_worker_") {
				allowed = append(allowed, "node")
			}
			if !slices.Contains(allowed, label) {
				t.Errorf("%s has the label %s: its values may be without end", name, label)
			}
		}
	}
}

// row is a line of the table of metrics in the docs.
var row = regexp.MustCompile("(?m)^\\| (`spotserve_[^|]+) \\| ([a-z]+) \\| ([^|]*)\\| ([^|]+) \\|$")

// documented reads docs/observability.md.
func documented(t *testing.T) map[string]*family {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs", "observability.md"))
	if err != nil {
		t.Fatal(err)
	}
	code := regexp.MustCompile("`([^`]+)`")
	out := make(map[string]*family)
	for _, m := range row.FindAllStringSubmatch(string(text), -1) {
		f := &family{kind: m[2], help: m[4]}
		for _, label := range code.FindAllStringSubmatch(m[3], -1) {
			f.labels = append(f.labels, label[1])
		}
		slices.Sort(f.labels)
		for _, name := range code.FindAllStringSubmatch(m[1], -1) {
			if out[name[1]] != nil {
				t.Errorf("docs/observability.md lists %s twice", name[1])
			}
			out[name[1]] = f
		}
	}
	return out
}

// TestDocsListEveryMetric with its kind and its labels, and no other.
func TestDocsListEveryMetric(t *testing.T) {
	said := documented(t)
	shown := ours(families(t, services(t)))
	for _, name := range slices.Sorted(maps.Keys(shown)) {
		f, d := shown[name], said[name]
		switch {
		case d == nil:
			t.Errorf("docs/observability.md does not list %s (%s %v): %s", name, f.kind, f.labels, f.help)
		case d.kind != f.kind || !slices.Equal(d.labels, f.labels):
			t.Errorf("docs/observability.md lists %s as a %s with the labels %v; it is a %s with %v", name, d.kind, d.labels, f.kind, f.labels)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(said)) {
		if shown[name] == nil {
			t.Errorf("docs/observability.md lists %s, which no service shows", name)
		}
	}
}
