//go:build unix

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spotserve/spotserve/test/internal/otlp"
)

// trees are the whole traces of a run by what they are of: request, batch,
// reconfiguration.
func trees(t *testing.T, spans []otlp.Span) map[string][]*otlp.Tree {
	t.Helper()
	whole, err := otlp.Whole(spans)
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string][]*otlp.Tree)
	for _, tree := range whole {
		out[tree.Name] = append(out[tree.Name], tree)
	}
	return out
}

// shape lists the names and services of a tree's spans, without repetition, in
// alphabetical order.
func shape(tree *otlp.Tree) string {
	var out []string
	tree.Walk(func(n *otlp.Tree) { out = append(out, n.Name+"@"+n.Service) })
	slices.Sort(out)
	return strings.Join(slices.Compact(out), " ")
}

// the shapes of a request that was interrupted and went on with its KV cache, and of
// a reconfiguration because of a preemption.
const (
	interrupted = "compute@worker decode@worker interrupted@planner pooled@worker prefill@worker publish@trace-replayer " +
		"queued@planner request@planner stored@collector"
	preempted = "arrange@planner await plan@planner decide@planner exit@worker migrate@worker plan@planner " +
		"preemption_noticed@planner reconfiguration@planner start pipeline@planner start stage@worker stored@collector"
)

// mustTell finds one whole request that was interrupted, and one whole
// reconfiguration because of a preemption.
func mustTell(t *testing.T, of map[string][]*otlp.Tree) {
	t.Helper()
	find := func(name, want string, so func(*otlp.Tree) bool) *otlp.Tree {
		for _, tree := range of[name] {
			if so(tree) && shape(tree) == want {
				return tree
			}
		}
		t.Fatalf("none of %d traces of a %s has the spans %s", len(of[name]), name, want)
		return nil
	}
	request := find("request", interrupted, func(tree *otlp.Tree) (kept bool) {
		tree.Walk(func(n *otlp.Tree) { kept = kept || n.Attributes["cache_kept"] == "true" })
		return kept && tree.Attributes["outcome"] == "completed"
	})
	change := find("reconfiguration", preempted, func(tree *otlp.Tree) bool { return tree.Attributes["outcome"] == "serving" })
	t.Logf("\n%s", request.String("request", "outcome", "epoch", "pipeline", "node", "batch", "cache_kept"))
	t.Logf("\n%s", change.String("epoch", "outcome", "config", "deadline_s", "nodes", "node", "pipeline", "model_bytes", "cache_bytes", "bytes"))

	request.Walk(func(n *otlp.Tree) {
		if n.Attributes["run"] == "" || n.Name != "stored" && n.Name != "prefill" && n.Name != "decode" && n.Attributes["request"] != request.Attributes["request"] {
			t.Errorf("%s of request %s says run %q and request %q", n.Name, request.Attributes["request"], n.Attributes["run"], n.Attributes["request"])
		}
		if n.Name == "interrupted" && len(n.Links) != 1 {
			t.Errorf("an interruption is linked to %q, want its reconfiguration", n.Links)
		}
		if n.Name == "compute" && len(n.Links) != 1 {
			t.Errorf("a computation is linked to %q, want its batch", n.Links)
		}
	})
	for _, key := range []string{"epoch", "config", "deadline_s", "migration_estimate_s", "model_bytes", "cache_bytes", "controller_why", "mapper_devices_changed"} {
		if change.Attributes[key] == "" {
			t.Errorf("the reconfiguration does not say %s", key)
		}
	}
	links := make(map[string]bool) // of batches
	for _, b := range of["batch"] {
		links[b.Trace+"/"+b.ID] = true
	}
	request.Walk(func(n *otlp.Tree) {
		if n.Name == "compute" && !links[n.Links[0]] {
			t.Errorf("there is no batch %s", n.Links[0])
		}
	})
}

// TestTracesOfFiveServices has every service in a process of its own, on a server of
// its own, with a receiver of OTLP beside them; workers have a process each.
func TestTracesOfFiveServices(t *testing.T) {
	t.Parallel()
	url, receiver := startServer(t), otlp.Listen(t)
	s := newSite(t)
	s.env = append(s.env, "SPOTSERVE_TRACE_ENDPOINT="+receiver.URL)
	services := []serviceProcess{
		s.startService("collector", "--nats", url, "--store", s.store),
		s.startService("planner", "--nats", url),
		s.startService("trace-replayer", "--nats", url),
	}
	for _, node := range []string{"a", "b", "c", "d", "e"} {
		services = append(services, s.startService("worker", "--nats", url, "--node", node))
	}
	live := s.experiment("run", s.file("mine.yaml", mine), "--nats", url, "--time-scale", "240")
	for _, p := range services {
		p.terminate(t)
	}
	of := trees(t, receiver.Spans())
	plans := s.count("SELECT count(*) FROM config_change")
	if len(of["request"]) != live.int("accepted") || len(of["reconfiguration"]) != plans || plans == 0 {
		t.Errorf("%d requests and %d reconfigurations are traced; want %v and %d",
			len(of["request"]), len(of["reconfiguration"]), live["accepted"], plans)
	}
	mustTell(t, of)
}

// TestTracesOfOneProcess: the services of one process say the same.
func TestTracesOfOneProcess(t *testing.T) {
	t.Parallel()
	receiver, s := otlp.Listen(t), newSite(t)
	live := s.experiment("run", s.file("mine.yaml", mine), "--time-scale", "240", "--trace-endpoint", receiver.URL)
	of := trees(t, receiver.Spans())
	if len(of["request"]) != live.int("accepted") {
		t.Errorf("%d requests are traced; want %v", len(of["request"]), live["accepted"])
	}
	mustTell(t, of)

	sampled, s := otlp.Listen(t), newSite(t)
	s.experiment("run", s.file("mine.yaml", mine), "--time-scale", "240", "--trace-endpoint", sampled.URL, "--trace-sample", "0.3")
	part := trees(t, sampled.Spans())
	known := make(map[string]bool)
	for _, tree := range of["request"] {
		known[tree.Trace] = true
	}
	for _, tree := range part["request"] {
		if !known[tree.Trace] {
			t.Errorf("request %s has another trace when not all are traced", tree.Attributes["request"])
		}
	}
	if n := len(part["request"]); n == 0 || n >= len(of["request"]) || len(part["reconfiguration"]) != len(of["reconfiguration"]) {
		t.Errorf("of %d requests 30%% are %d; of %d reconfigurations all are %d",
			len(of["request"]), n, len(of["reconfiguration"]), len(part["reconfiguration"]))
	}
}

// TestTracesGoOnWhenAPlannerIsKilled, and with it what it had not sent.
func TestTracesGoOnWhenAPlannerIsKilled(t *testing.T) {
	t.Parallel()
	url, receiver := startServer(t), otlp.Listen(t)
	s := newSite(t)
	s.env = append(s.env, "SPOTSERVE_TRACE_ENDPOINT="+receiver.URL)
	services := []serviceProcess{
		s.startService("collector", "--nats", url, "--store", s.store),
		s.startService("trace-replayer", "--nats", url),
		s.startService("worker", "--nats", url, "--node", "*"),
	}
	first := s.startService("planner", "--nats", url)
	second := s.startService("planner", "--nats", url)
	run := s.start("run", s.file("mine.yaml", mine), "--nats", url, "--time-scale", "60", "--output", "json")
	for len(receiver.Spans()) < 300 {
		time.Sleep(20 * time.Millisecond)
	}
	first.Signal(t, syscall.SIGKILL)
	first.Wait(t)
	if exit := run.Wait(t); exit.Code != 0 {
		t.Fatalf("exit code %d: %s", exit.Code, exit.Stderr)
	}
	for _, p := range append(services, second) {
		p.terminate(t)
	}
	of := trees(t, receiver.Spans())
	mustTell(t, of)
	if n := s.count("SELECT count(*) FROM request_latency"); n != len(of["request"]) {
		t.Errorf("%d requests have rows, and %d traces", n, len(of["request"]))
	}
}

// TestAReceiverThatIsAway changes nothing but what the log says, once.
func TestAReceiverThatIsAway(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	file := s.file("mine.yaml", mine)
	want := s.experiment("run", file, "--virtual")
	p := s.start("run", file, "--time-scale", "240", "--output", "json", "--trace-endpoint", "http://127.0.0.1:9")
	exit := p.Wait(t)
	if exit.Code != 0 || !strings.Contains(exit.Stdout, fmt.Sprintf(`"completed": %d`, want.int("completed"))) {
		t.Errorf("exit code %d, it prints %s", exit.Code, exit.Stdout)
	}
	if n := strings.Count(exit.Stderr, "the receiver of traces takes no spans"); n > 5 {
		t.Errorf("five services say %d times that the receiver is away", n)
	}
	if !strings.Contains(exit.Stderr, "spans were lost") {
		t.Errorf("nobody says that spans were lost: %s", exit.Stderr)
	}
}
