package deployment

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/catalog"
	"github.com/spotserve/spotserve/core/engineop"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/engine/checkpoint"
	"github.com/spotserve/spotserve/engine/kernel"
	"github.com/spotserve/spotserve/engine/llm"
	"github.com/spotserve/spotserve/engine/llm/cluster"
	"github.com/spotserve/spotserve/engine/model"
	"github.com/spotserve/spotserve/platform/wire"
)

// published has the stock command line publish a start of a published experiment,
// and waits until it is done, stored and drawn.
func (s *site) published() {
	s.t.Helper()
	s.mustSay(s.natsCommand("operator", "operator", "pub", wire.SubjectStart,
		`{"e2e":{"approach":"spotserve","model":"20B","trace":"As"},"options":{"time_scale":300,"name":"deployed"}}`), "Published")
	within(s.t, "the published experiment is recorded", func() (bool, any) {
		rows := s.query("SELECT status FROM runs WHERE name = 'deployed'")
		return rows == "finished", rows
	})
	const counts = "SELECT status, accepted = completed + unfinished_at_end, completed > 400, lost, duplicated FROM runs WHERE name = 'deployed'"
	if got := s.query(counts); got != "finished\t1\t1\t0\t0" {
		s.t.Errorf("the published experiment ends with %s", got)
	}
	if got := s.query("SELECT run LIKE 'e2e-%', n > 400, p99 > p50, p50 > 1 FROM latency_summary WHERE status = 'finished'"); got != "1\t1\t1\t1" {
		s.t.Errorf("its latencies are %s", got)
	}
	within(s.t, "its figure is drawn", func() (bool, any) {
		figures, err := filepath.Glob(filepath.Join(s.dir, "figures", "e2e-20B-As*"))
		if err != nil {
			s.t.Fatal(err)
		}
		return len(figures) >= 3, figures
	})
}

// mustSay fails the test unless a command did what it was to, and says so.
func (s *site) mustSay(exit exit, words string) {
	s.t.Helper()
	if exit.Code != 0 || !strings.Contains(exit.Stdout+exit.Stderr, words) {
		s.t.Fatalf("it ends with %d, want %q\n%s%s", exit.Code, words, exit.Stdout, exit.Stderr)
	}
}

// The model and the run that compute: what the nodes hold is half of the model, so
// every token passes between hosts, as do the weights when the fleet changes.
const (
	shape    = "layers=4,hidden=64,heads=4,kv_heads=2,ffn=96,vocabulary=300,context=256"
	realFile = `name: real
compute: transformer
measured: here.yaml
grace_s: 2
drain: true
batch_limit: 2
migration_buffer_gib: 0.0001
instance: {usable_gpu_memory_gb: 0.0007}
trace: {changes: [{at_s: 0, add_spot: [node-0, node-1]}, {at_s: 4, add_spot: [node-2]}, {at_s: 8, remove: [node-0]}], end_s: 14}
arrivals: {rate_rps: 2, prompt_tokens: 10, output_tokens: 40}
transformer: {sampling: {temperature: 0.8, top_k: 40, seed: 7}}
`
)

// computes runs an experiment that computes tokens; meanwhile is called while it
// does.
func (s *site) computes(meanwhile func()) {
	s.t.Helper()
	profile := s.operate("profile", "--max-batch", "2", "--max-tensor", "2", "--prompt-tokens", "16", "--out", "here.yaml", "--model", "synthetic:42", "--shape", shape)
	if profile.Code != 0 {
		s.t.Fatalf("profile ends with %d\n%s", profile.Code, profile.Stderr)
	}
	file := filepath.Join(s.dir, "real.yaml")
	if err := os.WriteFile(file, []byte(realFile), 0o600); err != nil {
		s.t.Fatal(err)
	}
	running := s.operating("run", file, "--output", "json")
	within(s.t, "the run computes", func() (bool, any) {
		answers := s.query("SELECT count() FROM request_output")
		return answers != "0", running.Stderr.String()
	})
	meanwhile()
	exit := running.Wait(s.t)
	var result struct {
		Run                                          string
		Status                                       string
		Completed, Lost, Duplicated, UnfinishedAtEnd int
	}
	if err := json.Unmarshal([]byte(exit.Stdout), &result); err != nil || exit.Code != 0 {
		s.t.Fatalf("the run that computes ends with %d: %v\n%s%s", exit.Code, err, exit.Stdout, exit.Stderr)
	}
	if result.Status != "finished" || result.Completed < 15 || result.Lost != 0 || result.Duplicated != 0 {
		s.t.Errorf("it ends with %+v", result)
	}
	if configs := s.query("SELECT count() FROM config_change WHERE run = '" + result.Run + "'"); configs < "2" {
		s.t.Errorf("it has %s configurations, want some", configs)
	}
	s.answersAreRight(file, result.Run, result.Completed)
}

// answersAreRight compares every answer with that of a model that was never cut.
func (s *site) answersAreRight(file, run string, completed int) {
	s.t.Helper()
	spec := resolve(s.t, file)
	config, err := checkpoint.Config(spec.Model.Name, spec.Transformer.Shape)
	if err != nil {
		s.t.Fatal(err)
	}
	source, err := checkpoint.Open(spec.Transformer.Weights, checkpoint.Options{Shape: config})
	if err != nil {
		s.t.Fatal(err)
	}
	weights, err := cluster.Load(source)
	if err != nil {
		s.t.Fatal(err)
	}
	defer weights.Close()
	rows := strings.Split(s.query("SELECT request, tokens FROM request_output WHERE run = '"+run+"' ORDER BY request"), "\n")
	if len(rows) != completed {
		s.t.Fatalf("%d answers are stored, of %d", len(rows), completed)
	}
	for _, row := range rows {
		var id uint64
		name, tokens, _ := strings.Cut(row, "\t")
		var got []int32
		if _, err := fmt.Sscan(name, &id); err != nil {
			s.t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(tokens), &got); err != nil {
			s.t.Fatal(err)
		}
		if want := answer(s.t, spec.Transformer, config, weights, id); !slices.Equal(got, want) {
			s.t.Errorf("request %d: the answer is %v, must be %v", id, got, want)
		}
	}
	s.t.Logf("%d answers are those of the whole model", len(rows))
}

func resolve(t testing.TB, file string) experiment.Spec {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	custom, err := catalog.ReadCustom(file, text)
	if err != nil {
		t.Fatal(err)
	}
	spec, _, err := catalog.Resolve(custom.Runs()[0].Start)
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

// answer is what a whole model says to a request of the trace.
func answer(t testing.TB, transformer *experiment.TransformerModel, config model.Config, weights *cluster.Weights, id uint64) (out []int32) {
	t.Helper()
	whole, err := cluster.New(cluster.Options{Config: config, Blob: weights.Blob, CPU: kernel.Options{Threads: 1}, KVBytes: 1 << 24})
	if err != nil {
		t.Fatal(err)
	}
	defer whole.Close()
	const promptTokens, outputTokens = 10, 40
	request := event.RequestID(id)
	tokens := engineop.DrawPrompt(transformer, request, promptTokens)
	sampling := engineop.SamplingOf(transformer, request, nil)
	for from := 0; len(out) < outputTokens; {
		next, err := whole.Step(t.Context(), []llm.Sequence{{
			ID: 1, Start: from, Tokens: tokens[from:], Sample: true,
			Sampling: llm.Sampling{Temperature: sampling.Temperature, TopK: sampling.TopK, TopP: sampling.TopP, Seed: sampling.Seed},
		}})
		if err != nil {
			t.Fatal(err)
		}
		from = len(tokens)
		out, tokens = append(out, next[0]), append(slices.Clip(tokens), next[0])
	}
	return out
}
