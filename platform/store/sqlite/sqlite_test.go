package sqlite_test

import (
	"path/filepath"
	"testing"

	"github.com/spotserve/spotserve/platform/store/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) string {
		// A folder that does not exist, and characters that a URI would take for its own.
		return "sqlite:" + filepath.Join(t.TempDir(), "data", "100% odd?#name.db")
	})
}
