package cli

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// lockedBuffer is written to while a test reads it.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
	grew chan struct{}
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case b.grew <- struct{}{}:
	default:
	}
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// TestMockMetadataAnswers, and ends when it is told to, also while somebody waits
// for a change.
func TestMockMetadataAnswers(t *testing.T) {
	trace := filepath.Join(t.TempDir(), "trace.CSV")
	if err := os.WriteFile(trace, []byte("0,add,x\n600000,remove,x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"As", trace} {
		ctx, cancel := context.WithCancel(t.Context())
		out := &lockedBuffer{grew: make(chan struct{}, 1)}
		a := &app{stdout: io.Discard, stderr: out}
		root := a.root()
		root.SetArgs([]string{"mock-metadata", "--trace", name, "--listen", "127.0.0.1:0", "--dialect", "gcp"})
		done := make(chan error, 1)
		go func() { done <- root.ExecuteContext(ctx) }()
		url := regexp.MustCompile(`http://[0-9.:]+/node/`)
		for url.FindString(out.String()) == "" {
			select {
			case <-out.grew:
			case err := <-done:
				t.Fatalf("it ends with %v: %s", err, out)
			}
		}
		node := "x"
		if name == "As" {
			node = "node-0"
		}
		at := url.FindString(out.String()) + node + "/computeMetadata/v1/instance/preempted"
		if !strings.Contains(out.String(), "goes at") {
			t.Errorf("it does not say what will happen: %s", out)
		}
		get := func(query string) (*http.Response, error) {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, at+query, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Metadata-Flavor", "Google")
			return http.DefaultClient.Do(r)
		}
		answer, err := get("")
		if err != nil {
			t.Fatal(err)
		}
		if text, err := io.ReadAll(answer.Body); err != nil || string(text) != "FALSE" {
			t.Errorf("%s answers %q, %v", at, text, err)
		}
		answer.Body.Close()
		waits := make(chan struct{})
		go func() {
			defer close(waits)
			if answer, err := get("?wait_for_change=true"); err == nil {
				answer.Body.Close()
			}
		}()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("it ends with %v", err)
		}
		<-waits
	}
}

func TestMockMetadataRefuses(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "trace.jsonl")
	if err := os.WriteFile(broken, []byte("[0, \"add\"]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args string
		code int
		want string
	}{
		{"", exitUsage, "--trace is missing: allowed are As, Bs"},
		{"--trace Cs", exitUsage, `--trace "Cs": allowed are As, Bs`},
		{"--trace As --dialect ibm", exitUsage, `dialect "ibm": allowed are [aws gcp azure]`},
		{"--trace As --node nobody", exitUsage, `node "nobody" is not in the trace: allowed are node-0`},
		{"--trace As --time-scale 0", exitUsage, "time scale 0: want a number above 0"},
		{"--trace As --grace -1s", exitUsage, "want durations, 0 or more"},
		{"--trace As --listen nowhere", exitFailed, "nowhere"},
		{"--trace " + broken, exitFailed, "trace.jsonl:1"},
		{"--trace As more", exitUsage, "takes 0 arguments"},
	} {
		var said bytes.Buffer
		code := Main(append([]string{"mock-metadata"}, strings.Fields(tt.args)...), io.Discard, &said)
		if code != tt.code || !strings.Contains(said.String(), tt.want) {
			t.Errorf("%s: code %d, %q; want %d, %q", tt.args, code, said.String(), tt.code, tt.want)
		}
	}
}
