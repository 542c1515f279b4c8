package mockmetadata_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spotserve/spotserve/platform/notice"
	"github.com/spotserve/spotserve/platform/notice/metadata"
)

// RoundTrip implements http.RoundTripper: a way to the mock without a socket.
func (m *mock) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	m.s.ServeHTTP(w, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return w.Result(), nil
}

// TestSourcesUnderstandTheMock: what workers read is what the mock says, in every
// dialect, at the root and by node.
func TestSourcesUnderstandTheMock(t *testing.T) {
	sources := map[string]func(metadata.Options) notice.Source{
		"aws": metadata.AWS, "azure": metadata.Azure,
		"gcp": func(o metadata.Options) notice.Source { return metadata.GCP(o, 0) },
	}
	for name, source := range sources {
		for _, base := range []string{"http://mock", "http://mock/node/a/"} {
			bubble(t, 1, func(t *testing.T, m *mock) {
				ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
				defer cancel()
				s := source(metadata.Options{Instance: "a", BaseURL: base, Transport: m, Log: slog.New(slog.DiscardHandler)})
				board := notice.NewBoard(slog.New(slog.DiscardHandler))
				var mu sync.Mutex // gcp watches two values
				var told []string
				err := s.Watch(ctx, func(n notice.Notice) {
					mu.Lock()
					defer mu.Unlock()
					before, _ := board.Standing("a")
					board.Post(name, n)
					if after, _ := board.Standing("a"); after != before {
						what := string(n.Kind)
						if n.Kind == notice.Preemption {
							what += fmt.Sprintf(" %s ahead", time.Until(n.Deadline).Round(5*time.Second))
						}
						told = append(told, fmt.Sprintf("%s %s", time.Since(m.began).Round(5*time.Second), what))
					}
				})
				if err != nil {
					t.Error(err)
				}
				want := []string{"3m30s rebalance", "4m30s preemption 30s ahead"}
				if name == "azure" { // which has no early signal
					want = want[1:]
				}
				if !slices.Equal(told, want) {
					t.Errorf("%s at %s: told\n%s\nwant\n%s", name, base, strings.Join(told, "\n"), strings.Join(want, "\n"))
				}
			})
		}
	}
}
