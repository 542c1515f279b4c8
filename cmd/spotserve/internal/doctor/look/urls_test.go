package look_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spotserve/spotserve/cmd/spotserve/internal/doctor"
	"github.com/spotserve/spotserve/cmd/spotserve/internal/doctor/look"
	"github.com/spotserve/spotserve/cmd/spotserve/internal/doctor/look/looktest"
)

// TestNoPasswordOfAURLIsShown: neither of one that works nor of one that cannot be
// read.
func TestNoPasswordOfAURLIsShown(t *testing.T) {
	t.Parallel()
	at := looktest.Closed(t)
	for _, user := range []string{"user:s3cret", "user:s3cret%zz", "user:s3cret space", "user:s3cret\x7f"} {
		r := doctor.Judge(look.All(t.Context(), look.Options{
			NATS: "nats://" + user + "@" + at, Store: "sqlite:" + filepath.Join(t.TempDir(), "store.db"),
			Metrics: []string{"http://" + user + "@" + at, user + "@" + at}, Monitors: []string{"http://" + user + "@" + at},
			Timeout: 10 * time.Second,
		}))
		if all := fmt.Sprintf("%+v", r); strings.Contains(all, "s3cret") || r.Count(doctor.Failed) < 5 {
			t.Errorf("%q: %s", user, all)
		}
	}
}
