//go:build unix

package e2e

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// noticed is an experiment on four nodes that no trace takes away.
const noticed = `
name: noticed
model: 6.7B
instance: g4dn.12xlarge
trace:
  fixed: {instances: 4, market: spot, end_s: 130}
arrivals: {kind: even, rate_rps: 0.5, prompt_tokens: 512, output_tokens: 128}
drain: true
`

// metadataTrace is what the mocked clouds do: three nodes go, one after the other.
const metadataTrace = `[0, "add", {"nodes": ["node-0", "node-1", "node-2", "node-3"]}]
[40000, "remove", {"nodes": ["node-0"]}]
[75000, "remove", {"nodes": ["node-1"]}]
[110000, "remove", {"nodes": ["node-2"]}]
[130000, "DONE", {"nodes": []}]
`

// gateway is an address for metadata services that are not there yet: 503 until
// they are.
type gateway struct{ to atomic.Pointer[url.URL] }

func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	to := g.to.Load()
	if to == nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	(&httputil.ReverseProxy{
		Rewrite:  func(p *httputil.ProxyRequest) { p.SetURL(to) },
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), // a question that waits ends with who asks
	}).ServeHTTP(w, r)
}

// TestNoticesOfThreeClouds: workers on instances of three clouds hear that these
// go, each from its own metadata service; every notice brings about a plan
// without the node, and no request is lost.
func TestNoticesOfThreeClouds(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	clouds := new(gateway)
	address := httptest.NewServer(clouds)
	t.Cleanup(address.Close)
	up := s.up("--node", "node-3", "--metrics-listen", "127.0.0.1:0", "--log-level", "info")
	// Ten experiment seconds a wall second: polls and graces are as much shorter.
	workers := make(map[string]serviceProcess)
	for i, cloud := range []string{"aws", "gcp", "azure"} {
		node := fmt.Sprintf("node-%d", i)
		workers[node] = s.startService("worker", "--nats", up.url, "--node", node, "--notice", cloud,
			"--notice-url", address.URL+"/node/"+node, "--notice-poll", "200ms", "--notice-grace", "3s")
	}
	live := s.start("run", s.file("noticed.yaml", noticed), "--nats", up.url, "--time-scale", "10", "--output", "json")
	s.awaitRows(1, "SELECT count(*) FROM config_change")
	mock := s.start("mock-metadata", "--trace", s.file("clouds.jsonl", metadataTrace), "--listen", "127.0.0.1:0", "--time-scale", "10")
	mock.Await(t, "mock-metadata answers")
	at, err := url.Parse(regexp.MustCompile(`http://[0-9.:]+`).FindString(mock.Stderr.String()))
	if err != nil {
		t.Fatal(err)
	}
	clouds.to.Store(at)
	exit := live.Wait(t)
	if exit.Code != 0 {
		t.Fatalf("the run ends with exit code %d: %s", exit.Code, exit.Stderr)
	}
	result := decode(t, exit.Stdout)
	if result.int("accepted") == 0 || result.int("completed") != result.int("accepted") || result.int("lost") != 0 {
		t.Errorf("of %d requests %d were completed", result.int("accepted"), result.int("completed"))
	}
	if late := result.int("late_facts"); late != 0 {
		t.Errorf("%d facts were late", late)
	}
	mustNoticeInTime(t, s)
	prints(t, up)

	for _, node := range []string{"node-0", "node-1", "node-2"} {
		if said := workers[node].Stderr.String(); strings.Count(said, "kind=preemption") != 1 {
			t.Errorf("%s does not hear of one preemption:\n%s", node, said)
		}
		workers[node].terminate(t)
	}
	mock.Signal(t, syscall.SIGINT)
	if exit := mock.Wait(t); exit.Code != 0 {
		t.Errorf("mock-metadata ends with exit code %d: %s", exit.Code, exit.Stderr)
	}
	up.stop(t)
}

// mustNoticeInTime wants the story of each node in the store: noticed, then a plan
// made before its deadline, then lost.
func mustNoticeInTime(t *testing.T, s *site) {
	t.Helper()
	for i, node := range []string{"node-0", "node-1", "node-2"} {
		story := s.rows(fmt.Sprintf("SELECT event, at_ms, due_ms FROM fleet_event WHERE node = '%s' ORDER BY at_ms, seq", node))
		var events []string
		var noticed, deadline float64
		for _, row := range story {
			name := row["event"].(string)
			events = append(events, name)
			if name == "preemption_noticed" {
				noticed, deadline = row["at_ms"].(float64), row["due_ms"].(float64)
			}
		}
		want := []string{"instance_acquired", "rebalance_recommended", "preemption_noticed", "instance_lost"}
		if i == 2 { // Azure has no early signal
			want = slices.Delete(want, 1, 2)
		}
		if !slices.Equal(events, want) {
			t.Errorf("%s: %v, want %v", node, events, want)
			continue
		}
		if n := s.count(fmt.Sprintf("SELECT count(*) FROM config_change WHERE at_ms >= %f AND at_ms <= %f", noticed, deadline)); n == 0 {
			t.Errorf("%s: no plan between the notice at %.0f ms and its deadline at %.0f ms", node, noticed, deadline)
		}
	}
}

// prints shows how long it took from the notices to the plans.
func prints(t *testing.T, up upProcess) {
	t.Helper()
	plans := histogramOf(t, metricsOf(t, up), "spotserve_planner_notice_to_plan_seconds")
	if plans.count < 3 {
		t.Errorf("%v plans answered notices, want 3 or more", plans.count)
	}
	t.Logf("%v notices were answered by a plan, %.0f ms of wall time after they were read on average, at 10 experiment seconds a second",
		plans.count, 1000*plans.sum/plans.count)
}
