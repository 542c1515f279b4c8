package catalog

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// ownExperiments is the section of docs/experiments.md on experiment files.
func ownExperiments(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../docs/experiments.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(text), "\n## Experiments of your own\n")
	if !ok {
		t.Fatal("docs/experiments.md has no section on experiments of your own")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	return section
}

var documentedKey = regexp.MustCompile("`([a-z_0-9]+(?:\\.[a-z_0-9]+)*)`")

// TestEveryKeyIsDocumented, and nothing else stands in the tables of keys.
func TestEveryKeyIsDocumented(t *testing.T) {
	section := ownExperiments(t)
	var documented []string
	for line := range strings.Lines(section) {
		if cells := strings.Split(line, "|"); len(cells) == 5 { // key, what, default
			for _, m := range documentedKey.FindAllStringSubmatch(cells[1], -1) {
				documented = append(documented, m[1])
			}
		}
	}
	parts := []string{"limits", "trace", "trace.fixed", "trace.generate", "provision", "arrivals", "arrivals.rescale", "model", "instance", "engine", "profile", "transformer", "transformer.rope_scaling", "transformer.sampling"}
	for _, key := range append(sweepKeys(), notSwept...) {
		if _, length, ok := strings.Cut(key, "_tokens."); ok {
			if !strings.Contains(section, "`"+length+"`") && length != "distribution" {
				t.Errorf("the key %s of a distribution is not documented", length)
			}
			continue
		}
		if !slices.Contains(documented, key) && !slices.Contains(parts, key) {
			t.Errorf("key %s is not documented", key)
		}
	}
	inChanges := []string{"at_s", "add_spot", "add_on_demand", "remove", "required_throughput_rps"}
	for _, key := range documented {
		known := slices.Contains(sweepKeys(), key) || slices.Contains(notSwept, key)
		if change, ok := strings.CutPrefix(key, "trace.changes."); ok {
			known = slices.Contains(inChanges, change)
		}
		switch key {
		case "fixed", "uniform", "lognormal", "weighted": // distributions
		default:
			if !known {
				t.Errorf("there is no key %s", key)
			}
		}
	}
}

func TestExamplesInTheDocsRun(t *testing.T) {
	section := ownExperiments(t)
	if !strings.Contains(section, strings.TrimRight(strings.ReplaceAll("\n"+smallFile, "\n", "\n    "), " ")) {
		t.Errorf("the smallest file is not\n%s", smallFile)
	}
	_, long, _ := strings.Cut(section, "```yaml\n")
	long, _, _ = strings.Cut(long, "```")
	if runs := mustRead(t, long); len(runs) != 18 || runs[0].Sweep[0].Key != "grace" {
		t.Errorf("the long example stands for %d runs", len(runs))
	}
	sweeps := 0
	for line := range strings.Lines(section) {
		if sweep, ok := strings.CutPrefix(line, "    sweep: "); ok {
			sweeps++
			mustRead(t, smallFile+"sweep: "+sweep)
		}
	}
	if sweeps < 2 {
		t.Errorf("%d sweeps are shown", sweeps)
	}
}

// refusalRow is a row of a table of refusals: what is refused, and the answer.
var refusalRow = regexp.MustCompile("(?m)^\\| `(.*)` \\| `(.*)` \\|$")

func TestRefusalsOfExperimentFilesAreDocumented(t *testing.T) {
	_, table, _ := strings.Cut(ownExperiments(t), "### Answers to mistakes")
	found := refusalRow.FindAllStringSubmatch(table, -1)
	if len(found) < 30 {
		t.Errorf("%d refusals are documented", len(found))
	}
	for _, m := range found {
		if _, err := ReadCustom("FILE", []byte(complete(m[1]))); err == nil || err.Error() != m[2] {
			t.Errorf("%s is answered by\n%v, not by\n%s", m[1], err, m[2])
		}
	}
}

// TestRefusalsOfPromptsAreDocumented gives the broken files of the section on
// prompts to their reader.
func TestRefusalsOfPromptsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/experiments.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n### Prompts\n")
	section, _, _ = strings.Cut(section, "\n### ")
	found := refusalRow.FindAllStringSubmatch(section, -1)
	if len(found) < 8 {
		t.Errorf("%d refusals are documented", len(found))
	}
	for _, m := range found {
		if _, err := readPrompts("FILE", strings.NewReader(m[1])); err == nil || err.Error() != m[2] {
			t.Errorf("%s is answered by\n%v, not by\n%s", m[1], err, m[2])
		}
	}
	var good strings.Builder
	for line := range strings.Lines(section) {
		if strings.HasPrefix(line, "    {") {
			good.WriteString(line)
		}
	}
	if list, err := readPrompts("FILE", strings.NewReader(good.String())); err != nil || len(list) != 2 || list[0].maxTokens != 16 || len(list[1].tokens) != 3 {
		t.Errorf("the example is read as %+v, %v", list, err)
	}
}
