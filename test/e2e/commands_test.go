//go:build unix

package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestCommandsOnAStore: what a user asks of the runs that are there.
func TestCommandsOnAStore(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	printed := s.ok(job(mainJob, "--virtual")...)
	second := s.experiment(job(mainJob, "--virtual", "--seed", "2", "--name", "second")...)

	// The table, and what belongs to it.
	for _, want := range []string{
		"e2e-v1: spotserve, 20B on As, arrivals artifact, quirks none, seed 1, virtual time, finished",
		"latency in s", "avg", "P50", "P90", "P95", "P96", "P97", "P98", "P99", "requests", "interruptions", "tokens recomputed",
		"cost", "configuration at s", "2x3x4", "figure", ".png", "store   sqlite:",
	} {
		if !strings.Contains(printed, want) {
			t.Errorf("a run prints no %q:\n%s", want, printed)
		}
	}
	shown, _, _ := strings.Cut(s.ok("show", "e2e-v1"), "store ")
	if !strings.HasPrefix(printed, shown) || !strings.Contains(shown, "2x3x4") {
		t.Errorf("show prints\n%s\nwhere the run printed\n%s", shown, printed)
	}
	mustBeAlike(t, decode(t, s.ok("show", "e2e-v2", "--output", "json")), second)

	listed := strings.Split(strings.TrimSpace(s.ok("ls")), "\n")
	if len(listed) != 3 || !strings.HasPrefix(listed[1], "e2e-v1 ") || !strings.HasPrefix(listed[2], "e2e-v2 ") || !strings.Contains(listed[2], "virtual") {
		t.Errorf("ls prints\n%s", strings.Join(listed, "\n"))
	}
	mustSay(t, s.refused(1, "show", "e2e-v9"), "e2e-v9", "no such run", "spotserve ls")
	mustSay(t, s.refused(1, "stop", "e2e-v1"), "not running: it is finished")

	// SQL, as a table and as JSON.
	const statement = "SELECT run, n, p99, reason FROM latency_summary JOIN runs USING (run) ORDER BY run"
	if got := strings.Fields(s.ok("sql", statement)); len(got) != 10 || !slices.Equal(got[:5], []string{"run", "n", "p99", "reason", "e2e-v1"}) {
		t.Errorf("sql prints %q", got)
	}
	rows := s.rows(statement)
	if len(rows) != 2 || rows[1]["run"] != "e2e-v2" || rows[1]["p99"] != second["p99_s"] {
		t.Errorf("sql answers %v", rows)
	}
	if empty := s.ok("sql", "SELECT run FROM runs WHERE run = 'none'", "--output", "json"); strings.TrimSpace(empty) != "[]" {
		t.Errorf("no rows print as %q", empty)
	}
	for _, bad := range []string{"DELETE FROM runs", "SELECT * FROM runs; DROP TABLE runs", "SELECT nothing FROM runs"} {
		s.refused(1, "sql", bad)
	}
	if n := s.count("SELECT count(*) FROM runs"); n != 2 {
		t.Errorf("%d runs are left", n)
	}

	// Figures, each of the kind that its name says.
	for name, head := range map[string]string{"out.png": "\x89PNG\r\n", "out.svg": "<svg", "new/out.pdf": "%PDF-"} {
		if said := s.ok("plot", "e2e", "-m", "20B", "-t", "As", "-o", name); strings.TrimSpace(said) != name {
			t.Errorf("plot prints %q, want the file %s", said, name)
		}
		data, err := os.ReadFile(filepath.Join(s.dir, name))
		if err != nil || !bytes.Contains(data[:min(len(data), 200)], []byte(head)) {
			t.Errorf("%s: %v; it begins with %.20q", name, err, data)
		}
	}
	if exit := s.run("plot", "e2e", "-t", "As"); exit.Code != 0 || !strings.Contains(exit.Stderr, "not in the store: rerouting") {
		t.Errorf("plot does not name what is missing: exit code %d, %s", exit.Code, exit.Stderr)
	}
	if said := s.run("plot", "e2e"); said.Code != 0 || !strings.Contains(said.Stdout, "e2e-sheet-20B") || !strings.Contains(said.Stderr, "not in the store: 6.7B") {
		t.Errorf("plot without model and trace draws no sheet: exit code %d, %s%s", said.Code, said.Stdout, said.Stderr)
	}
	mustSay(t, s.refused(1, "plot", "e2e", "-o", "out.gif"), `"gif"`, "png, svg and pdf")
	mustSay(t, s.refused(1, "plot", "e2e", "-m", "30B"), "no finished e2e run of model 30B", "spotserve e2e")
}

// TestCommandsWithoutAStore.
func TestCommandsWithoutAStore(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	if said := s.ok("version"); !regexp.MustCompile(`^spotserve \S+.* go1\.\d+`).MatchString(said) {
		t.Errorf("version prints %q", said)
	}
	for _, want := range []string{"# Printed from e2e spotserve 20B Bs.\n", "\napproach: spotserve ", "\nseed: 9 ", "\ngrace_s: 30 "} {
		if said := s.ok("config", "print", "e2e", "spotserve", "20B", "Bs", "--seed", "9"); !strings.Contains(said, want) {
			t.Errorf("config print has no %q:\n%s", want, said)
		}
	}
	if said := s.ok("e2e", "--help"); !strings.Contains(said, "--time-scale") {
		t.Errorf("help prints %q", said)
	}
	if said := s.ok(); !strings.Contains(said, "Available Commands") {
		t.Errorf("spotserve by itself prints %q", said)
	}
	s.mustHaveStartedNothing()
}

// TestSettings: the command line over the environment over the file.
func TestSettings(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	file := s.file("spotserve.yaml", "seed: 5\ntime-scale: 1\nname: from the file\noutput: json\n")
	s.env = []string{"SPOTSERVE_TIME_SCALE=" + fast, "SPOTSERVE_SEED=6"}
	r := decode(t, s.ok(job(mainJob, "--config", file, "--seed", "7")...))
	if r.int("seed") != 7 || r.int("time_scale") != 2400 {
		t.Errorf("seed %d, time scale %d; want those of the command line and of the environment", r.int("seed"), r.int("time_scale"))
	}
	if name := s.rows("SELECT name FROM runs")[0]["name"]; name != "from the file" {
		t.Errorf("the run's name is %q, want that of the file", name)
	}
	s.env = []string{"SPOTSERVE_CONFIG=" + file}
	if seed := decode(t, s.ok(job(mainJob, "--virtual")...)).int("seed"); seed != 5 {
		t.Errorf("seed %d, want that of the file that the environment names", seed)
	}
}

// TestDrain: the run goes on until everything is answered.
func TestDrain(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, pace := range [][]string{{"--virtual"}, {"--time-scale", fast}} {
		r := s.experiment(job(append(mainJob, "--drain"), pace...)...)
		if r.int("unfinished_at_end") != 0 || r.int("accepted") == 0 || r.int("accepted") != r.int("completed") || r.text("status") != "finished" {
			t.Errorf("%s: %d accepted, %d completed, %d unfinished, %s", pace[0], r.int("accepted"), r.int("completed"), r.int("unfinished_at_end"), r.text("status"))
		}
	}
}

// TestFilesOfYourOwn: traces and arrivals in the artifact's format.
func TestFilesOfYourOwn(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	availability := s.file("fleet.txt", `[0, "add", {"nodes": ["a", "b", "c"]}]
[300000, "DONE", {"nodes": []}]
`)
	arrivals := s.file("arrivals.txt", "0,1.0,512,0\n1,2.5,512,0\n2,100.25,512,0\n")
	for _, pace := range [][]string{{"--virtual"}, {"--time-scale", fast}} {
		r := s.experiment(job(append(mainJob, "--availability-file", availability, "--arrivals-file", arrivals), pace...)...)
		if r.int("accepted") != 3 || r.int("completed") != 3 || r.text("arrivals") != "file" || !strings.Contains(r.text("trace"), "fleet") {
			t.Errorf("%s: %d accepted, %d completed, arrivals %s, trace %s", pace[0], r.int("accepted"), r.int("completed"), r.text("arrivals"), r.text("trace"))
		}
	}
	var text bytes.Buffer
	if err := json.Indent(&text, []byte(s.ok("sql", "SELECT arrived_ms FROM request_latency WHERE run = 'e2e-v1' ORDER BY request", "--output", "json")), "", ""); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(strings.Fields(text.String()), ""); got != `[{"arrived_ms":1000},{"arrived_ms":2500},{"arrived_ms":100250}]` {
		t.Errorf("the requests arrived at %s", got)
	}
}
