package metadata_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spotserve/spotserve/platform/notice"
	"github.com/spotserve/spotserve/platform/notice/metadata"
)

// cloud is a metadata service without a socket, on the clock of a bubble.
type cloud struct {
	t        *testing.T
	began    time.Time
	mu       sync.Mutex // gcp watches two values
	serve    http.HandlerFunc
	requests []string // "0s GET /path", in order
	log      bytes.Buffer
	told     []string // "0s preemption in 30s", in order
}

// RoundTrip implements http.RoundTripper.
func (c *cloud) RoundTrip(r *http.Request) (*http.Response, error) {
	c.mu.Lock()
	c.requests = append(c.requests, fmt.Sprintf("%s %s %s", time.Since(c.began), r.Method, r.URL.Path))
	c.mu.Unlock()
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	w := httptest.NewRecorder()
	c.serve(w, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if w.Code == refused {
		return nil, errors.New("connection refused")
	}
	return w.Result(), nil
}

// refused is a handler's way to have no connection.
const refused = 999

// watch runs a source on a cloud for a while, in a bubble of its own.
func watch(t *testing.T, d time.Duration, source func(metadata.Options) notice.Source, serve func(*cloud) http.HandlerFunc) *cloud {
	t.Helper()
	c := &cloud{t: t}
	synctest.Test(t, func(t *testing.T) {
		c.began = time.Now()
		c.serve = serve(c)
		ctx, cancel := context.WithTimeout(t.Context(), d)
		defer cancel()
		s := source(metadata.Options{Instance: "node-0", Transport: c, Log: slog.New(slog.NewTextHandler(&c.log, nil))})
		board := notice.NewBoard(slog.New(slog.DiscardHandler))
		err := s.Watch(ctx, func(n notice.Notice) {
			c.mu.Lock()
			defer c.mu.Unlock()
			before, _ := board.Standing("node-0")
			board.Post(s.String(), n)
			if after, _ := board.Standing("node-0"); after != before { // news only
				c.told = append(c.told, fmt.Sprintf("%s %s", time.Since(c.began), c.describe(n)))
			}
		})
		if err != nil {
			t.Errorf("it ends with %v", err)
		}
	})
	return c
}

func (c *cloud) describe(n notice.Notice) string {
	if n.Instance != "node-0" {
		c.t.Errorf("a notice for %q", n.Instance)
	}
	if n.Kind != notice.Preemption {
		return string(n.Kind)
	}
	return fmt.Sprintf("%s at %s", n.Kind, n.Deadline.Sub(c.began))
}

func (c *cloud) passed() time.Duration { return time.Since(c.began) }

func (c *cloud) mustTell(want ...string) {
	c.t.Helper()
	if !slices.Equal(c.told, want) {
		c.t.Errorf("told\n%s\nwant\n%s\nlog\n%s", strings.Join(c.told, "\n"), strings.Join(want, "\n"), c.log.String())
	}
}

// mustLog wants as many lines with the text as it says.
func (c *cloud) mustLog(n int, text string) {
	c.t.Helper()
	if got := strings.Count(c.log.String(), text); got != n {
		c.t.Errorf("%d times %q in the log, want %d:\n%s", got, text, n, c.log.String())
	}
}

// mustBeCalm wants no more than so many requests in any second.
func (c *cloud) mustBeCalm(perSecond int) {
	c.t.Helper()
	count := make(map[time.Duration]int)
	for _, r := range c.requests {
		at, _, _ := strings.Cut(r, " ")
		d, err := time.ParseDuration(at)
		if err != nil {
			c.t.Fatal(err)
		}
		if count[d.Truncate(time.Second)]++; count[d.Truncate(time.Second)] > perSecond {
			c.t.Fatalf("more than %d requests in the second of %s:\n%s", perSecond, at, strings.Join(c.requests, "\n"))
		}
	}
}

func gcp(o metadata.Options) notice.Source { return metadata.GCP(o, 0) }

// TestSourcesSurviveWhateverTheyAreAnswered: nothing comes of it, nothing ends
// it, and nobody is asked in a loop.
func TestSourcesSurviveWhateverTheyAreAnswered(t *testing.T) {
	answers := map[string]http.HandlerFunc{
		"refused": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(refused) },
		"404":     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) },
		"401":     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) },
		"500":     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://elsewhere/", http.StatusFound)
		},
		"empty":     func(http.ResponseWriter, *http.Request) {},
		"junk":      func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>\x00\xff")) },
		"null":      func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("null")) },
		"a number":  func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("1e999")) },
		"no end":    func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(bytes.Repeat([]byte("x"), 1<<20)) },
		"no answer": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	}
	for name, source := range map[string]func(metadata.Options) notice.Source{"aws": metadata.AWS, "gcp": gcp, "azure": metadata.Azure} {
		for what, answer := range answers {
			t.Run(name+"/"+what, func(t *testing.T) {
				c := watch(t, 5*time.Minute, source, func(*cloud) http.HandlerFunc { return answer })
				for _, told := range c.told {
					if !strings.HasSuffix(told, "rebalance") { // which EC2 says by being there
						t.Errorf("it tells %s", told)
					}
				}
				if len(c.requests) < 3 {
					t.Errorf("%d requests in five minutes", len(c.requests))
				}
				c.mustBeCalm(20)
				if len(c.requests) > 5*60*4 {
					t.Errorf("%d requests in five minutes", len(c.requests))
				}
				if strings.Count(c.log.String(), "level=WARN") > 2 { // gcp has two watches
					t.Errorf("it goes on about it:\n%s", c.log.String())
				}
			})
		}
	}
}
