//go:build unix

package e2e

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/wire"
	"github.com/spotserve/spotserve/test/internal/program"
)

// smallModel is one that computes a token in no time.
var smallModel = []string{"--model", "synthetic:42", "--shape", "layers=4,hidden=64,heads=4,kv_heads=2,ffn=96,vocabulary=300,context=256"}

// realFile is a run of some seconds in which a node comes and one goes.
const realFile = `name: real
compute: transformer
measured: here.yaml
grace_s: 2
drain: true
batch_limit: 2
migration_buffer_gib: 0.0001
instance: {usable_gpu_memory_gb: 0.0007} # half of the model, and some KV cache
trace: {changes: [{at_s: 0, add_spot: [a, b]}, {at_s: 4, add_spot: [c]}, {at_s: 8, remove: [a]}], end_s: END}
arrivals: {rate_rps: 2, prompt_tokens: 10, output_tokens: 40}
`

// realSite has what a run with real tokens needs.
func realSite(t *testing.T, end string) *site {
	t.Helper()
	s := newSite(t)
	s.ok(append([]string{"profile", "--max-batch", "2", "--max-tensor", "2", "--prompt-tokens", "16", "--out", "here.yaml"}, smallModel...)...)
	s.file("real.yaml", strings.Replace(realFile, "END", end, 1))
	return s
}

// workersOf is what a run says when its workers are there: the URL of its server.
var workersOf = regexp.MustCompile(`\d+ worker processes, one a node, and NATS at (\S+);`)

// awaitWorkers waits for the workers of a run and returns the URL of its server.
func awaitWorkers(t *testing.T, p *program.Process) string {
	t.Helper()
	for range 600 {
		if m := workersOf.FindStringSubmatch(p.Stderr.String()); m != nil {
			return m[1]
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("no workers:\n%s", p.Stderr.String())
	return ""
}

// workersAt lists the worker processes that are told to connect to a server, by
// their node.
func workersAt(t *testing.T, url string) map[string]int {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "ps", "-axwwo", "pid=,stat=,command=").Output()
	if err != nil {
		t.Fatal(err)
	}
	pids := make(map[string]int)
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		at := slices.Index(words, "--node")
		if at < 0 || !slices.Contains(words, url) || strings.HasPrefix(words[1], "Z") {
			continue
		}
		pid, err := strconv.Atoi(words[0])
		if err != nil {
			t.Fatal(err)
		}
		pids[words[at+1]] = pid
	}
	return pids
}

func awaitNoWorkers(t *testing.T, url string) {
	t.Helper()
	for range 600 {
		if len(workersAt(t, url)) == 0 {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Errorf("worker processes are left behind: %v", workersAt(t, url))
}

// TestRealTokens: a run whose workers are processes that compute. Every request is
// answered, also that of a user on the bus, whose answer is the one that a single
// process gives; and no process is left behind.
func TestRealTokens(t *testing.T) {
	t.Parallel()
	s := realSite(t, "12")
	p := s.start("run", "real.yaml", "--output", "json")
	url := awaitWorkers(t, p)
	if all := workersAt(t, url); len(all) != 3 {
		t.Errorf("the worker processes are %v, want one a node", all)
	}
	b := s.bus(url)
	started, err := b.Follow(t.Context(), bus.Runs, bus.Position{}, "spot.run.*.fleet."+string(event.RunStarted{}.Kind()))
	if err != nil {
		t.Fatal(err)
	}
	ev, err := wire.Decode((<-started.C()).Data)
	started.Stop()
	if err != nil {
		t.Fatal(err)
	}
	asked := s.start("ask", ev.Run, "--nats", url, "--id", "mine", "--tokens", "1,20,299,7", "--max-tokens", "24", "--output", "json")
	subject := "spot.run." + ev.Run + ".request.arrived"
	for _, request := range []string{
		`{"id": "nobody's", "tokens": [300], "max_tokens": 24}`,
		`{"id": "a text", "prompt": "hello"}`,
	} {
		if err := b.Publish(t.Context(), bus.Outgoing{Subject: subject, Data: []byte(request)}); err != nil {
			t.Fatal(err)
		}
	}
	reply := asked.Wait(t)
	if said := s.refused(1, "ask", ev.Run, "--nats", url, "--tokens", "300"); !strings.Contains(said, "token 0 of the prompt is 300: allowed are 0 to 299") {
		t.Errorf("it says %s", said)
	}
	exit := p.Wait(t)
	if reply.Code != 0 || exit.Code != 0 {
		t.Fatalf("exit code %d\n%s%s", exit.Code, exit.Stdout, exit.Stderr+reply.Stderr)
	}
	r := decode(t, exit.Stdout)
	if r.int("completed") < 10 || r.int("lost") != 0 || r.int("duplicated") != 0 || r.int("unfinished_at_end") != 0 || r.text("status") != "finished" {
		t.Errorf("it ends with\n%s", exit.Stdout)
	}
	awaitNoWorkers(t, url)

	if n := s.count("SELECT count(*) FROM request_output o JOIN request_latency l USING (run, request) WHERE status = 'completed'"); n != r.int("completed") {
		t.Errorf("%d answers are stored, of %d requests", n, r.int("completed"))
	}
	if n := s.count("SELECT count(*) FROM request_output WHERE name = '' AND json_array_length(tokens) <> 40"); n != 0 {
		t.Errorf("%d answers have another length than they were asked for", n)
	}
	if n := s.count("SELECT refused FROM runs"); n != 3 {
		t.Errorf("%d requests are refused, want the two outside of the vocabulary, and the text, since the model has no tokenizer", n)
	}
	answer := decode(t, s.ok(append([]string{"generate", "--tokens", "1,20,299,7", "--max-tokens", "24", "--output", "json"}, smallModel...)...))
	if own := decode(t, reply.Stdout); !reflect.DeepEqual(own["tokens"], answer["tokens"]) || own["id"] != "mine" {
		t.Errorf("the answer that was waited for is %v, want %v", own, answer["tokens"])
	}
	var got []any
	tokens, err := s.query("SELECT tokens FROM request_output WHERE name = 'mine'")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(fmt.Sprint(tokens)), &got); err != nil || !reflect.DeepEqual(got, answer["tokens"]) {
		t.Errorf("the answer on the bus is %v, %v; that of one process is %v", got, err, answer["tokens"])
	}

	virtual := s.experiment("run", "real.yaml", "--virtual")
	if virtual.int("completed") != r.int("completed")-1 || virtual.int("lost") != 0 {
		t.Errorf("in virtual time it ends with %v", virtual)
	}
}

// TestNoWorkerIsLeftBehind, however a run ends.
func TestNoWorkerIsLeftBehind(t *testing.T) {
	t.Parallel()
	s := realSite(t, "600")
	p := s.start("run", "real.yaml")
	url := awaitWorkers(t, p)
	p.Signal(t, syscall.SIGINT)
	if exit := p.Wait(t); exit.Code != 130 || !strings.Contains(exit.Stdout, "stopped") {
		t.Errorf("Ctrl-C ends it with %d\n%s%s", exit.Code, exit.Stdout, exit.Stderr)
	}
	awaitNoWorkers(t, url)
	p = s.start("run", "real.yaml")
	url = awaitWorkers(t, p)
	p.Signal(t, syscall.SIGKILL)
	p.Wait(t)
	awaitNoWorkers(t, url)
}

// TestWorkerThatIsKilledIsStartedAgain, and the run goes on.
func TestWorkerThatIsKilledIsStartedAgain(t *testing.T) {
	t.Parallel()
	s := realSite(t, "14")
	p := s.start("run", "real.yaml", "--output", "json")
	url := awaitWorkers(t, p)
	s.awaitRows(1, "SELECT count(*) FROM request_latency")
	if err := syscall.Kill(workersAt(t, url)["b"], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	exit := p.Wait(t)
	r := decode(t, exit.Stdout)
	if exit.Code != 0 || r.int("lost") != 0 || r.int("unfinished_at_end") != 0 || r.int("completed") < 10 || !strings.Contains(exit.Stderr, "is started again") {
		t.Errorf("it ends with %d\n%s%s", exit.Code, exit.Stdout, exit.Stderr)
	}
	awaitNoWorkers(t, url)
}

// TestWeightsThatAreNotThere: nothing is started for them.
func TestWeightsThatAreNotThere(t *testing.T) {
	t.Parallel()
	s := realSite(t, "10")
	s.file("real.yaml", strings.Replace(realFile, "END}", "10}\ntransformer: {weights: none.gguf}", 1))
	if said := s.refused(1, "run", "real.yaml"); !strings.Contains(said, "none.gguf") || !strings.Contains(said, "no such file") {
		t.Errorf("it says %s", said)
	}
}
