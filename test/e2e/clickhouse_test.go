//go:build unix

package e2e

import (
	"net/url"
	"os/exec"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/platform/store/storetest/chtest"
	"github.com/spotserve/spotserve/test/internal/program"
)

// clickhouseSite is a site whose store is a database of its own on the server.
func clickhouseSite(t *testing.T, server *chtest.Server, database string) *site {
	t.Helper()
	s := newSite(t)
	s.store = server.URL(database)
	s.flags = []string{"--store", s.store}
	return s
}

// TestClickHouseHasTheSameRows: a live run into ClickHouse leaves what a virtual
// one leaves in SQLite, and the stock client reads what spotserve sql reads.
func TestClickHouseHasTheSameRows(t *testing.T) {
	t.Parallel()
	server := chtest.Start(t)
	client := program.Installed(t, "clickhouse-client", "apt-get install clickhouse-client")
	s, local := clickhouseSite(t, server, "spotserve"), newSite(t)
	live := s.experiment(job(mainJob, "--time-scale", fast)...)
	virtual := local.experiment(job(mainJob, "--virtual")...)
	mustBeAlike(t, live, virtual)
	mustHaveSameRows(t, s, local, live, virtual)
	mustHaveFigures(t, s, live)

	for _, statement := range []string{
		"SELECT * FROM latency_summary", "SELECT * FROM cost_summary",
		"SELECT * FROM config_change ORDER BY epoch", "SELECT * FROM request_latency ORDER BY request LIMIT 5",
	} {
		at, err := url.Parse(s.store)
		if err != nil {
			t.Fatal(err)
		}
		stock := exec.CommandContext(t.Context(), client, "--host", at.Hostname(), "--port", at.Port(),
			"--database", "spotserve", "--format", "TabSeparatedWithNames", "--query", statement)
		out, err := stock.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", stock, err, out)
		}
		got, want := cells(s.ok("sql", statement), "  "), cells(string(out), "\t")
		if got != want {
			t.Errorf("%s: spotserve sql prints\n%s\nand the stock client\n%s", statement, got, want)
		}
	}
	if said := s.ok("prune", "--older-than", "0s"); !strings.Contains(said, live.text("run")) {
		t.Errorf("prune does not tell of %s:\n%s", live.text("run"), said)
	}
	for _, table := range []string{"runs", "request_latency", "fleet_event", "config_change", "migration", "node_time", "latency_summary"} {
		if n := s.rows("SELECT count(*) AS n FROM " + table)[0]["n"]; n != 0.0 {
			t.Errorf("after prune %s has %v rows", table, n)
		}
	}
}

// TestReproduceIntoClickHouse: from a database that is not there on, and what it
// has is not run again. The tables are those of SQLite.
func TestReproduceIntoClickHouse(t *testing.T) {
	t.Parallel()
	s, local := clickhouseSite(t, chtest.Start(t), "reproduced"), newSite(t)
	first := s.run("reproduce", "workload", "--seeds", "1")
	if first.Code != 0 || !strings.HasPrefix(first.Stderr, "6 of 6 runs made") {
		t.Fatalf("exit code %d: %s", first.Code, first.Stderr)
	}
	again := s.run("reproduce", "workload", "--seeds", "1")
	if again.Code != 0 || !strings.HasPrefix(again.Stderr, "0 of 6 runs made") || again.Stdout != first.Stdout {
		t.Errorf("again: exit code %d, it says %s and prints\n%s", again.Code, again.Stderr, again.Stdout)
	}
	if want := local.ok("reproduce", "workload", "--seeds", "1"); first.Stdout != want {
		t.Errorf("it prints\n%s\nwith SQLite\n%s", first.Stdout, want)
	}
}

// cells is a table with one separator, whatever it was printed with.
func cells(table, separator string) string {
	var out strings.Builder
	for line := range strings.Lines(table) {
		for cell := range strings.SplitSeq(strings.TrimRight(line, "\n"), separator) {
			if cell = strings.TrimSpace(cell); cell == `\N` {
				cell = "NULL"
			}
			if cell != "" {
				out.WriteString(cell + "|")
			}
		}
		out.WriteString("\n")
	}
	return out.String()
}

// TestStoreThatGoesAwayLosesNothing: ClickHouse is killed in mid-run and comes
// back while the run goes on, or after its end.
func TestStoreThatGoesAwayLosesNothing(t *testing.T) {
	t.Parallel()
	server := chtest.Start(t)
	s, local := clickhouseSite(t, server, "spotserve"), newSite(t)
	p := s.start(job(mainJob, "--time-scale", "240", "--output", "json")...)
	s.awaitRows(20, completedRows)
	server.Kill()
	p.Await(t, "the store does not take rows; they wait in the stream")
	server.Restart()
	exit := p.Wait(t)
	if exit.Code != 0 {
		t.Fatalf("exit code %d: %s", exit.Code, exit.Stderr)
	}
	live := decode(t, exit.Stdout)
	virtual := local.experiment(job(mainJob, "--virtual")...)
	mustBeAlike(t, live, virtual)
	mustHaveSameRows(t, s, local, live, virtual)
}
