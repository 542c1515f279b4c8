package dataplane

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// A cause is logged at once, then once a minute with how often it came meanwhile;
// others are logged beside it.
func TestRefusalsAreLoggedOnceInAWhile(t *testing.T) {
	var log bytes.Buffer
	now := time.Unix(1000, 0)
	r := NewRefusals(slog.New(slog.NewTextHandler(&log, nil)))
	r.now = func() time.Time { return now }
	lines := func() int { return strings.Count(log.String(), "refuses a connection") }
	for i, c := range []struct {
		cause Cause
		after time.Duration
		lines int
	}{
		{NotTLS, 0, 1}, {NotTLS, time.Second, 1}, {NotTLS, 58 * time.Second, 1}, {Crowded, 0, 2}, {NotTLS, time.Second, 3}, {NotTLS, time.Second, 3},
	} {
		now = now.Add(c.after)
		r.add(c.cause, nil, "n", errors.New("why"))
		if lines() != c.lines {
			t.Errorf("after %d refusals there are %d lines, want %d", i+1, lines(), c.lines)
		}
	}
	if got := r.Counts(); got[NotTLS] != 5 || got[Crowded] != 1 {
		t.Errorf("counts are %v", got)
	}
	if !strings.Contains(log.String(), "also=2") {
		t.Errorf("the log does not say how many came meanwhile:\n%s", &log)
	}
}
