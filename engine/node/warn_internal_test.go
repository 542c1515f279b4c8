package node

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spotserve/spotserve/engine/dataplane"
)

// TestAStepThatFailsAgainAndAgain is a warning once a minute.
func TestAStepThatFailsAgainAndAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		l := &line{start: &start{}, ctx: context.Background(), node: &Node{log: slog.New(slog.NewTextHandler(&out, nil))}}
		for range 150 {
			l.tellFailed(dataplane.Step{}, errors.New("peer is gone"))
			time.Sleep(time.Second)
		}
		if n := strings.Count(out.String(), "a step has failed"); n != 3 {
			t.Errorf("%d warnings in 150 s:\n%s", n, out.String())
		}
	})
}
