//go:build unix

package e2e

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/test/internal/otlp"
)

// logLine is a line of a service's log as JSON.
type logLine map[string]any

func (l logLine) text(key string) string { s, _ := l[key].(string); return s }

// logLines reads a log of lines in JSON, those of services.
func logLines(t *testing.T, log string) (out []logLine) {
	t.Helper()
	for line := range strings.Lines(log) {
		if !strings.HasPrefix(line, "{") {
			continue // of the command itself
		}
		var l logLine
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		if l.text("service") != "" {
			out = append(out, l)
		}
	}
	return out
}

var (
	epochForm = regexp.MustCompile(`^\d+\.\d+$`)
	traceForm = regexp.MustCompile(`^[0-9a-f]{32}$`)
	keyForm   = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
)

// TestLogLinesHaveTheirKeys: whatever services log of a run, at any level, names the
// run, and what else it is about, always by the same keys.
func TestLogLinesHaveTheirKeys(t *testing.T) {
	t.Parallel()
	s, receiver := newSite(t), otlp.Listen(t)
	p := s.start("run", s.file("mine.yaml", mine), "--time-scale", fast, "--output", "json",
		"--log-level", "debug", "--log-format", "json", "--trace-endpoint", receiver.URL)
	exit := p.Wait(t)
	if exit.Code != 0 {
		t.Fatalf("exit code %d: %s", exit.Code, exit.Stderr)
	}
	spans := receiver.Spans()
	want := map[string][]string{ // by message: keys beside run
		"start accepted":      {"seq"},
		"run begins":          {"nodes", "requests"},
		"run led":             {"term"},
		"plan made":           {"epoch", "trace_id", "config", "why"},
		"migration planned":   {"epoch", "trace_id", "model_bytes", "deadline"},
		"plan serves":         {"epoch", "trace_id", "after"},
		"context is here":     {"epoch", "node", "trace_id", "bytes"},
		"stage is up":         {"epoch", "node", "trace_id", "pipeline"},
		"pipeline has exited": {"epoch", "node", "interrupted"},
		"request ended":       {"request", "trace_id", "how"},
		"run finished":        {},
		"run ends":            {"completed"},
		"figure drawn":        {"figure"},
	}
	seen := make(map[string]bool)
	for _, l := range logLines(t, exit.Stderr) {
		msg := l.text("msg")
		seen[msg] = true
		for key, value := range l {
			if !keyForm.MatchString(key) {
				t.Errorf("%q has a key %q", msg, key)
			}
			if text, ok := value.(string); ok && key != "run" && strings.Contains(text, "custom-1") && l.text("run") != "custom-1" {
				t.Errorf("%q is about a run, and does not name it: %v", msg, l)
			}
			if _, nested := value.(map[string]any); nested {
				t.Errorf("%q has an object as %s: %v", msg, key, value)
			}
		}
		if epoch, ok := l["epoch"]; ok && !epochForm.MatchString(l.text("epoch")) {
			t.Errorf("%q has the epoch %v", msg, epoch)
		}
		if id := l.text("trace_id"); id != "" {
			if !traceForm.MatchString(id) || !slices.ContainsFunc(spans, func(s otlp.Span) bool { return s.Trace == id }) {
				t.Errorf("%q is of trace %s, which nobody has received", msg, id)
			}
		}
		keys, ok := want[msg]
		if !ok {
			continue
		}
		for _, key := range append(keys, "run") {
			if _, has := l[key]; !has {
				t.Errorf("%q has no %s: %v", msg, key, l)
			}
		}
		if level := l.text("level"); (msg == "request ended") != (level == "DEBUG") {
			t.Errorf("%q is of level %s", msg, level)
		}
	}
	for msg := range want {
		if !seen[msg] {
			t.Errorf("nobody logs %q", msg)
		}
	}
}
