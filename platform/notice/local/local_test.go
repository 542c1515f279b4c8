package local_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spotserve/spotserve/platform/notice"
	"github.com/spotserve/spotserve/platform/notice/local"
)

// ear keeps what it is told.
type ear struct {
	mu   sync.Mutex
	told []notice.Notice
}

func (e *ear) hear(n notice.Notice) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.told = append(e.told, n)
}

func (e *ear) take() []notice.Notice {
	e.mu.Lock()
	defer e.mu.Unlock()
	told := e.told
	e.told = nil
	return told
}

// TestFile: a file that comes, grows, is written over and replaced; each line
// counts once, and what is wrong in one is no reason to miss the next.
func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notice")
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		var heard ear
		now, wrote := time.Now(), time.Now()
		deadline := func(in time.Duration) string { return now.Add(in).UTC().Format(time.RFC3339) }
		write := func(text string) {
			t.Helper()
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			// The clock of a bubble is not that of the file system.
			wrote = time.Now()
			if err := os.Chtimes(path, time.Time{}, wrote); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		source := local.File(path, 0, local.Options{Instance: "node-0", Log: slog.New(slog.NewTextHandler(&log, nil))})
		done := make(chan error, 1)
		go func() { done <- source.Watch(ctx, heard.hear) }()
		time.Sleep(time.Second / 2) // writes and reads do not meet
		content := ""
		for _, step := range []struct {
			name string
			do   func()
			want []string
		}{
			{"there is no file", func() {}, nil},
			{"it comes", func() { content = `{"kind":"rebalance","id":"x"}` + "\n"; write(content) }, []string{"rebalance"}},
			{"nothing changes", func() {}, nil},
			{"it is touched", func() { write(content) }, nil},
			{"it grows by two lines and half of one", func() {
				content += fmt.Sprintf("\n{\"kind\":\"preemption\",\"deadline\":%q}\n  {\"kind\":\"cancelled\"}\n{\"kind\":", deadline(time.Hour))
				write(content)
			}, []string{"preemption at 1h0m0s", "cancelled"}},
			{"the half becomes one, without a line break", func() { content += `"rebalance"}`; write(content) }, []string{"rebalance"}},
			{"the line break comes", func() { content += "\n"; write(content) }, nil},
			{"something is wrong, and something is not this node's", func() {
				content += "what\n" + `{"kind":"party"}` + "\n" + `{"kind":"rebalance","instance":"node-1"}` + "\n" + `{"kind":"rebalance","instance":"node-0"}` + "\n"
				write(content)
			}, []string{"rebalance"}},
			{"it is replaced", func() { content = `{"kind":"preemption","in":"30s","id":"in"}` + "\n"; write(content) }, []string{"preemption in 30s"}},
			{"it is replaced by another of the same length", func() { content = `{"kind":"preemption","in":"20s","id":"in"}` + "\n"; write(content) }, []string{"preemption in 20s"}},
			{"it is emptied", func() { content = ""; write(content) }, nil},
			{"a preemption that is over", func() {
				content = fmt.Sprintf("{\"kind\":\"preemption\",\"deadline\":%q}", deadline(time.Second))
				write(content)
			}, nil},
			{"it goes", func() {
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
			}, nil},
			{"it comes again", func() { write(`{"kind":"cancelled"}`) }, []string{"cancelled"}},
			{"it is too long", func() { write(strings.Repeat(" ", 65<<10)) }, nil},
		} {
			step.do()
			time.Sleep(time.Second)
			synctest.Wait()
			var got []string
			for _, n := range heard.take() {
				what := string(n.Kind)
				switch {
				case n.ID == "in":
					what += " in " + n.Deadline.Sub(wrote).String()
				case n.Kind == notice.Preemption:
					what += " at " + n.Deadline.Sub(now).String()
				}
				if n.Instance != "node-0" {
					t.Errorf("%s: a notice for %q", step.name, n.Instance)
				}
				got = append(got, what)
			}
			if !slices.Equal(got, step.want) {
				t.Errorf("%s: heard %v, want %v", step.name, got, step.want)
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("it ends with %v", err)
		}
		for _, want := range []string{"line=6", "line=7", `allowed are preemption, rebalance and cancelled`, "line=8", `this worker's node is`, "is over", "is longer than 65536 bytes"} {
			if strings.Count(log.String(), want) != 1 {
				t.Errorf("the log does not have once %q:\n%s", want, log.String())
			}
		}
	})
}

// TestFileThatCannotBeRead is said once, and read when it can be.
func TestFileThatCannotBeRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notice")
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		var heard ear
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		time.AfterFunc(time.Minute, func() {
			if err := os.Remove(path); err != nil {
				t.Error(err)
			}
			if err := os.WriteFile(path, []byte(`{"kind":"rebalance"}`), 0o600); err != nil {
				t.Error(err)
			}
		})
		source := local.File(path, 0, local.Options{Instance: "node-0", Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err := source.Watch(ctx, heard.hear); err != nil {
			t.Error(err)
		}
		if told := heard.take(); len(told) != 1 || strings.Count(log.String(), "level=WARN") != 1 {
			t.Errorf("told %+v, log\n%s", told, log.String())
		}
	})
}

// TestHook: a call is a notice, and a bad call is told what is wrong with it.
func TestHook(t *testing.T) {
	var log bytes.Buffer
	var heard ear
	ctx, cancel := context.WithCancel(t.Context())
	source, err := local.Hook(ctx, "127.0.0.1:0", local.Options{Instance: "node-0", Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- source.Watch(ctx, heard.hear) }()
	url := "http://" + strings.TrimPrefix(source.String(), "http:") + "/notice"
	post := func(method, body string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, string(text)
	}
	began := time.Now()
	for _, tt := range []struct {
		method, body string
		status       int
		says         string
		kind         notice.Kind
	}{
		{http.MethodPost, `{"kind":"preemption","in":"30s","id":"a"}`, 204, "", notice.Preemption},
		{http.MethodPost, `{"kind":"preemption","deadline":"2126-03-01T12:00:30+01:00"}` + "\n", 204, "", notice.Preemption},
		{http.MethodPost, `{"kind":"cancelled"}`, 204, "", notice.Cancelled},
		{http.MethodPost, `{"kind":"rebalance","instance":"node-0"}`, 204, "", notice.Rebalance},
		{http.MethodPost, ``, 400, "EOF", ""},
		{http.MethodPost, `{"kind":"rebalance"} {"kind":"rebalance"}`, 400, "something after the object", ""},
		{http.MethodPost, `{"kind":"rebalance","who":"me"}`, 400, "allowed are the keys kind, deadline, in, instance and id", ""},
		{http.MethodPost, `{"kind":"preemption"}`, 400, "needs a", ""},
		{http.MethodPost, `{"kind":"preemption","in":"soon"}`, 400, "want a duration such as 30s", ""},
		{http.MethodPost, `{"kind":"preemption","in":"-3s"}`, 400, "want a duration such as 30s", ""},
		{http.MethodPost, `{"kind":"preemption","in":"3s","deadline":"2126-03-01T12:00:30Z"}`, 400, "one of them is enough", ""},
		{http.MethodPost, `{"kind":"preemption","deadline":"noon"}`, 400, "noon", ""},
		{http.MethodPost, `{"kind":"cancelled","in":"3s"}`, 400, "has no deadline", ""},
		{http.MethodPost, `{"kind":"rebalance","instance":"node-1"}`, 400, `this worker's node is "node-0"`, ""},
		{http.MethodPost, strings.Repeat(" ", 65<<10), 413, "too large", ""},
		{http.MethodGet, ``, 405, "", ""},
	} {
		status, text := post(tt.method, tt.body)
		if status != tt.status || !strings.Contains(text, tt.says) {
			t.Errorf("%s %.60s: status %d, %q; want %d and %q", tt.method, tt.body, status, text, tt.status, tt.says)
		}
		told := heard.take()
		if tt.kind == "" && len(told) != 0 || tt.kind != "" && (len(told) != 1 || told[0].Kind != tt.kind || told[0].Instance != "node-0") {
			t.Errorf("%.60s: told %+v, want %q", tt.body, told, tt.kind)
		}
		if tt.body == `{"kind":"preemption","in":"30s","id":"a"}` && len(told) == 1 {
			if d := told[0].Deadline; d.Before(began.Add(30*time.Second)) || d.After(time.Now().Add(30*time.Second)) {
				t.Errorf("the deadline is %s, want 30 s from now", d)
			}
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("it ends with %v", err)
	}
	if _, err := http.Post(url, "", nil); err == nil {
		t.Error("something still listens")
	}
}

// TestHookListensHereAlone.
func TestHookListensHereAlone(t *testing.T) {
	taken, err := local.Hook(t.Context(), "localhost:0", local.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	defer func() {
		if err := taken.Watch(ctx, nil); err != nil { // lets go of the address
			t.Error(err)
		}
	}()
	for address, want := range map[string]string{
		"0.0.0.0:0": "is not a loopback address", ":0": "is not a loopback address", "10.0.0.1:80": "is not a loopback address",
		"example.com:80": "is not a loopback address", "127.0.0.1": "want host:port",
		strings.TrimPrefix(taken.String(), "http:"): "address already in use",
	} {
		if _, err := local.Hook(t.Context(), address, local.Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", address, err, want)
		}
	}
}
