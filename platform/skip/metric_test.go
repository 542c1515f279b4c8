package skip_test

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/skip"
	"github.com/spotserve/spotserve/platform/wire"
)

func TestCountsAreAMetric(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	teller, err := skip.Counting(slog.New(slog.DiscardHandler), reg, "sampler")
	if err != nil {
		t.Fatal(err)
	}
	for _, why := range []error{errors.New("no JSON"), fmt.Errorf("on x: %w", wire.ErrUnfit), wire.ErrUnfit} {
		teller.Message(bus.Message{Subject: "x"}, why)
	}
	err = testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP spotserve_sampler_skipped_messages_total Messages left out, by reason: unreadable, unfit (what it says does not belong on its subject), unknown (a newer service's), too_new (of a version that this build does not read).
# TYPE spotserve_sampler_skipped_messages_total counter
spotserve_sampler_skipped_messages_total{reason="too_new"} 0
spotserve_sampler_skipped_messages_total{reason="unfit"} 2
spotserve_sampler_skipped_messages_total{reason="unknown"} 0
spotserve_sampler_skipped_messages_total{reason="unreadable"} 1
`))
	if err != nil {
		t.Error(err)
	}
	if _, err := skip.Counting(slog.New(slog.DiscardHandler), reg, "sampler"); err == nil {
		t.Error("two of one service in a process")
	}
}
