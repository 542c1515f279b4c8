package open_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spotserve/spotserve/platform/notice"
	"github.com/spotserve/spotserve/platform/notice/open"
)

func sources(t *testing.T, o open.Options) ([]notice.Source, error) {
	t.Helper()
	return open.Sources(t.Context(), o, "node-0", slog.New(slog.DiscardHandler))
}

func TestSources(t *testing.T) {
	file := "file:" + filepath.Join(t.TempDir(), "a:b")
	got, err := sources(t, open.Options{
		Names: []string{"aws", "gcp", "azure", file, "http:127.0.0.1:0"}, URL: "http://127.0.0.1:8169/node/node-0", Poll: time.Second, Grace: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range got {
		names = append(names, s.String())
	}
	if !slices.Equal(names[:4], []string{"aws", "gcp", "azure", file}) || !strings.HasPrefix(names[4], "http:127.0.0.1:") {
		t.Errorf("got %v", names)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, s := range got {
		if err := s.Watch(ctx, func(n notice.Notice) { t.Errorf("%s tells %+v", s, n) }); err != nil {
			t.Errorf("%s ends with %v", s, err)
		}
	}
	if got, err := sources(t, open.Options{}); err != nil || len(got) != 0 {
		t.Errorf("without a name: %v, %v", got, err)
	}
}

func TestSourcesRefuses(t *testing.T) {
	for _, tt := range []struct {
		o    open.Options
		want string
	}{
		{open.Options{Names: []string{"gce"}}, `notice source "gce": allowed are aws, gcp, azure, file:PATH and http:HOST:PORT`},
		{open.Options{Names: []string{""}}, "allowed are"},
		{open.Options{Names: []string{"file:"}}, "allowed are"},
		{open.Options{Names: []string{"aws:fast"}}, "allowed are"},
		{open.Options{Names: []string{"aws", "aws"}}, `"aws" is there twice`},
		{open.Options{Names: []string{"http:0.0.0.0:80"}}, "is not a loopback address"},
		{open.Options{Names: []string{"aws"}, Poll: -1}, "want durations above 0"},
		{open.Options{Names: []string{"aws"}, Grace: -1}, "want durations above 0"},
		{open.Options{Names: []string{"file:x"}, URL: "http://127.0.0.1"}, "needs one of the sources aws, gcp and azure"},
		{open.Options{Names: []string{"aws"}, URL: "127.0.0.1:8169"}, "want http://host[:port][/path]"},
	} {
		if _, err := sources(t, tt.o); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want %q", tt.o, err, tt.want)
		}
	}
}
