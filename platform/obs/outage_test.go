package obs_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spotserve/spotserve/platform/obs"
)

func TestAnOutageIsTwoLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		log := slog.New(slog.NewTextHandler(&said, nil)).With("run", "r")
		var o obs.Outage
		o.Over(log, "it works again")
		for range 5 {
			o.Failed(log, "it fails", errors.New("one reason"), "again_in", 1)
			time.Sleep(20 * time.Second)
			o.Failed(log, "it fails", errors.New("another reason"))
			o.Failed(log, "it fails", errors.New("one reason"))
		}
		o.Over(log, "it works again", "rows", 3)
		o.Over(log, "it works again")
		o.Failed(log, "it fails", errors.New("one reason"))
		text := said.String()
		// At 0 s, then another reason at 40 s, the first one at 80 s, and the next outage.
		for want, n := range map[string]int{
			"level=WARN msg=\"it fails\" run=r": 4, "again_in=1 error=\"one reason\"": 1, "another reason": 1,
			"level=INFO msg=\"it works again\" run=r rows=3 after=1m40s failures=15": 1, "it works": 1,
		} {
			if got := strings.Count(text, want); got != n {
				t.Errorf("%s comes %d times, want %d, in\n%s", want, got, n, text)
			}
		}
	})
}
