package sqlite_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/spotserve/spotserve/platform/store/sqlite"
	"github.com/spotserve/spotserve/platform/store/storetest"
)

// The file gets smaller when much of it is free, also for those who have it open
// meanwhile, and what stays is whole.
func TestPruneGivesBackSpace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	w := openWriter(t, path)
	if err := w.Write(t.Context(), storetest.Random(1, 3000, 100, 3000)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	before := size(t, path)
	r, err := sqlite.OpenReader(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	w = openWriter(t, path)
	if err := w.Prune(t.Context(), []string{"e2e-001", "e2e-003"}, nil); err != nil {
		t.Fatal(err)
	}
	wantCount(t, r, 100)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if after := size(t, path); after > before/4 {
		t.Errorf("with 1 run of 61 parts the file has %d bytes of %d", after, before)
	}
	if r, err = sqlite.OpenReader(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	wantCount(t, r, 100)
	summaries, err := r.Query(t.Context(), "SELECT run FROM request_summary")
	if err != nil || len(summaries.Values) != 1 || !slices.Equal(summaries.Values[0], []any{"e2e-002"}) {
		t.Errorf("summaries of %v, %v; want that of e2e-002 alone", summaries.Values, err)
	}
}

func size(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}
