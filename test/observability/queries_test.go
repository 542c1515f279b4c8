package observability

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"
)

// target are the labels that a scrape adds.
var target = []string{"job", "instance"}

// checker knows what may be asked for.
type checker struct {
	parser   parser.Parser
	families map[string]*family
}

func newChecker(t *testing.T) checker {
	all := families(t, services(t))
	all["up"] = &family{kind: gauge}
	return checker{parser: parser.NewParser(parser.Options{}), families: all}
}

// check says what is wrong with a query.
func (c checker) check(query string) error {
	e, err := c.parser.ParseExpr(query)
	if err != nil {
		return err
	}
	var wrong []error
	fail := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	selectors := 0
	parser.Inspect(e, func(n parser.Node, path []parser.Node) error {
		switch n := n.(type) {
		case *parser.VectorSelector:
			selectors++
			f, series, err := c.family(n.Name)
			if err != nil {
				fail("%w", err)
				return nil
			}
			for _, m := range n.LabelMatchers {
				switch {
				case m.Name == "__name__", slices.Contains(target, m.Name), m.Name == "le" && strings.HasSuffix(series, "_bucket"):
				case !slices.Contains(f.labels, m.Name):
					fail("%s has no label %s, its labels are %v", n.Name, m.Name, f.labels)
				case m.Type == labels.MatchEqual && len(f.values[m.Name]) > 0 && !slices.Contains(f.values[m.Name], m.Value) && m.Name != "condition":
					fail("%s has no %s %q, there are %q", n.Name, m.Name, m.Value, f.values[m.Name])
				}
			}
			counts := f.kind == counter || f.kind == histogram
			if in := callOf(path); slices.Contains([]string{"rate", "increase", "irate"}, in) != counts && in != "absent" {
				fail("%s is a %s, and %q is asked of it", n.Name, f.kind, in)
			}
		case *parser.AggregateExpr:
			known := c.labelsBelow(n.Expr)
			for _, l := range n.Grouping {
				if !slices.Contains(known, l) {
					fail("there is no label %s in %s", l, n.Expr)
				}
			}
		}
		return nil
	})
	if selectors == 0 {
		fail("it asks for no metric")
	}
	return errors.Join(wrong...)
}

// family returns the family of a series.
func (c checker) family(series string) (f *family, name string, err error) {
	if f := c.families[series]; f != nil {
		if f.kind == histogram {
			return nil, "", fmt.Errorf("%s is a histogram: ask for its _bucket, _sum or _count", series)
		}
		return f, series, nil
	}
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if f := c.families[strings.TrimSuffix(series, suffix)]; f != nil && f.kind == histogram && strings.HasSuffix(series, suffix) {
			return f, series, nil
		}
	}
	return nil, "", fmt.Errorf("there is no metric %s", series)
}

// callOf is the innermost function that a series is given to.
func callOf(path []parser.Node) string {
	for _, n := range slices.Backward(path) {
		if call, ok := n.(*parser.Call); ok {
			return call.Func.Name
		}
	}
	return ""
}

// labelsBelow are the labels that a result of e may have.
func (c checker) labelsBelow(e parser.Expr) []string {
	out := slices.Clone(target)
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		switch n := n.(type) {
		case *parser.VectorSelector:
			if f, series, err := c.family(n.Name); err == nil {
				out = append(out, f.labels...)
				if strings.HasSuffix(series, "_bucket") && f.kind == histogram {
					out = append(out, "le")
				}
			}
		case *parser.Call:
			if n.Func.Name == "label_replace" {
				out = append(out, n.Args[1].(*parser.StringLiteral).Val)
			}
		}
		return nil
	})
	return out
}

// TestChecker: queries that ask for what there is not are found.
func TestChecker(t *testing.T) {
	c := newChecker(t)
	for query, want := range map[string]string{
		`sum(rate(spotserve_planner_requests_completed_total[5m]))`:                                                     "",
		`sum by (cause) (increase(spotserve_planner_reconfigurations_total{cause="failure", job="x"}[5m]))`:             "",
		`histogram_quantile(0.9, sum by (le) (rate(spotserve_planner_request_latency_seconds_bucket{le!="+Inf"}[5m])))`: "",
		`absent(spotserve_planner_leader == 1)`:                                                                         "",
		`up{job="x"} == 0`:                                                                                              "",
		`rate(spotserve_planner_no_such_total[5m])`:                                                                     "no metric spotserve_planner_no_such_total",
		`spotserve_planner_leader{node="a"}`:                                                                            "has no label node",
		`spotserve_planner_nodes{state="sleepy"}`:                                                                       `has no state "sleepy"`,
		`sum by (node) (spotserve_planner_leader)`:                                                                      "no label node",
		`rate(spotserve_planner_leader[5m])`:                                                                            "is a gauge",
		`spotserve_planner_requests_completed_total`:                                                                    "is a counter",
		`spotserve_planner_request_latency_seconds`:                                                                     "is a histogram",
		`spotserve_planner_leader_sum`:                                                                                  "no metric",
		`spotserve_planner_request_latency_seconds_sum`:                                                                 "is a histogram",
		`sum(`: "parse error",
		`1`:    "asks for no metric",
	} {
		err := c.check(query)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", query, err, want)
		}
	}
}

// panel is one of a dashboard.
type panel struct {
	Title       string
	Description string
	Type        string
	Panels      []panel
	Datasource  struct{ UID string }
	GridPos     struct{ H, W, X, Y int }
	FieldConfig struct{ Defaults struct{ Unit string } }
	Targets     []struct {
		Expr, LegendFormat string
		Datasource         struct{ UID string }
	}
}

// dashboard is what is checked of deploy/grafana.
type dashboard struct {
	UID, Title string
	Templating struct {
		List []struct {
			Name  string
			Type  string
			Query any
		}
	}
	Panels []panel
}

// variables stand for what Grafana puts in.
var variables = strings.NewReplacer("$__rate_interval", "5m", "$__interval", "1m", "$__range", "1h", "$job", "a|b", "$instance", "c")

// TestDashboard asks for metrics that there are, of a data source that can be
// chosen, and says what each panel shows.
func TestDashboard(t *testing.T) {
	c := newChecker(t)
	data, err := os.ReadFile(filepath.Join(root, "deploy", "grafana", "spotserve.json"))
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(data, &d); err != nil {
		t.Fatal(err)
	}
	if d.UID == "" || d.Title == "" || len(d.Templating.List) == 0 || d.Templating.List[0].Type != "datasource" {
		t.Errorf("dashboard %q %q has no data source to choose", d.UID, d.Title)
	}
	for _, v := range d.Templating.List {
		query, isText := v.Query.(string)
		if q, ok := v.Query.(map[string]any); ok {
			query, isText = q["query"].(string), true
		}
		if asked := regexp.MustCompile(`^label_values\((.*), *(\w+)\)$`).FindStringSubmatch(query); v.Type == "query" && (!isText || asked == nil) {
			t.Errorf("variable %s asks %v", v.Name, v.Query)
		} else if v.Type == "query" {
			if err := c.check(variables.Replace(asked[1])); err != nil {
				t.Errorf("variable %s: %v", v.Name, err)
			}
		}
	}
	queries, taken := 0, make(map[[2]int]string)
	var look func(row string, panels []panel)
	look = func(row string, panels []panel) {
		for _, p := range panels {
			for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
				for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
					if other := taken[[2]int{x, y}]; other != "" {
						t.Fatalf("panel %s lies on %s", p.Title, other)
					}
					taken[[2]int{x, y}] = p.Title
				}
			}
			if p.Type == "row" {
				look(p.Title, p.Panels)
				continue
			}
			if p.Title == "" || p.Description == "" || p.FieldConfig.Defaults.Unit == "" || len(p.Targets) == 0 || p.GridPos.X+p.GridPos.W > 24 {
				t.Errorf("panel %q of %q has no description, unit or query, or too much width", p.Title, row)
			}
			for _, q := range p.Targets {
				queries++
				if err := c.check(variables.Replace(q.Expr)); err != nil {
					t.Errorf("panel %q: %s: %v", p.Title, q.Expr, err)
				}
				if p.Datasource.UID != "${datasource}" || q.LegendFormat == "" && p.Type == "timeseries" {
					t.Errorf("panel %q: a query has no data source or legend", p.Title)
				}
			}
		}
	}
	look("", d.Panels)
	if queries < 30 {
		t.Errorf("only %d queries are found", queries)
	}
}

// rules is a file of alerting rules.
type rules struct {
	Groups []struct {
		Name  string
		Rules []struct {
			Alert, Expr, For    string
			Labels, Annotations map[string]string
		}
	}
}

// anchors lists those of the headings of a Markdown file, as GitHub makes them.
func anchors(t *testing.T, file string) map[string]bool {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]bool)
	for _, h := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(string(text), -1) {
		a := regexp.MustCompile(`[^a-z0-9 _-]`).ReplaceAllString(strings.ToLower(h[1]), "")
		out[strings.ReplaceAll(a, " ", "-")] = true
	}
	return out
}

// runbook is where what to do about an alert is.
const runbook = "https://github.com/spotserve/spotserve/blob/main/docs/runbook.md#"

// TestAlerts ask for metrics that there are, and each says what it means and where to
// read what to do. The runbook has no section for an alert that there is not.
func TestAlerts(t *testing.T) {
	c := newChecker(t)
	data, err := os.ReadFile(filepath.Join(root, "deploy", "prometheus", "alerts.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var r rules
	if err := yaml.Unmarshal(data, &r); err != nil {
		t.Fatal(err)
	}
	sections := anchors(t, "docs/runbook.md")
	alerts := make(map[string]bool)
	for _, g := range r.Groups {
		for _, a := range g.Rules {
			alerts[strings.ToLower(a.Alert)] = true
			if err := c.check(a.Expr); err != nil {
				t.Errorf("%s: %v", a.Alert, err)
			}
			if !strings.HasPrefix(a.Alert, "Spotserve") || a.Annotations["summary"] == "" || a.Annotations["description"] == "" {
				t.Errorf("%s has no summary or description, or another name", a.Alert)
			}
			if !slices.Contains([]string{"critical", "warning"}, a.Labels["severity"]) {
				t.Errorf("%s has severity %q", a.Alert, a.Labels["severity"])
			}
			if at := strings.ToLower(a.Alert); a.Annotations["runbook_url"] != runbook+at || !sections[at] {
				t.Errorf("%s: runbook_url %q, there is a section: %t", a.Alert, a.Annotations["runbook_url"], sections[at])
			}
		}
	}
	if len(alerts) < 15 {
		t.Errorf("only %d alerts are found", len(alerts))
	}
	for s := range sections {
		if strings.HasPrefix(s, "spotserve") && !alerts[s] && !strings.Contains(s, "-") {
			t.Errorf("docs/runbook.md has a section on %s, which is no alert", s)
		}
	}
}
