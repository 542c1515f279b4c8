package skip_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/skip"
	"github.com/spotserve/spotserve/platform/wire"
)

func TestReasonOf(t *testing.T) {
	for want, err := range map[string]error{
		skip.Unreadable: errors.New("junk"), skip.Unfit: fmt.Errorf("x: %w", wire.ErrUnfit),
		skip.Unknown: fmt.Errorf("x: %w", wire.ErrUnknown), skip.TooNew: fmt.Errorf("x: %w", wire.ErrTooNew),
	} {
		if got := skip.ReasonOf(err); got != want {
			t.Errorf("%v is %s, want %s", err, got, want)
		}
	}
}

// TestOneLineASubjectAndMinute, and every message is counted.
func TestOneLineASubjectAndMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		counts := make(map[string]int)
		teller := skip.New(slog.New(slog.NewTextHandler(&log, nil)), func(reason string) { counts[reason]++ })
		for range 1000 {
			teller.Message(bus.Message{Subject: "a"}, errors.New("junk"))
			teller.Message(bus.Message{Subject: "b"}, wire.ErrUnfit)
		}
		if n := strings.Count(log.String(), "\n"); n != 2 || counts[skip.Unreadable] != 1000 || counts[skip.Unfit] != 1000 {
			t.Errorf("%d lines, counts %v:\n%s", n, counts, log.String())
		}
		log.Reset()
		time.Sleep(skip.Again)
		teller.Message(bus.Message{Subject: "a"}, errors.New("junk"))
		if !strings.Contains(log.String(), "subject=a") || !strings.Contains(log.String(), "and_more=999") {
			t.Errorf("after a minute: %s", log.String())
		}
	})
}

// TestAFloodOfSubjects: who publishes under ever new names fills neither the log
// nor the memory.
func TestAFloodOfSubjects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		teller := skip.New(slog.New(slog.NewTextHandler(&log, nil)), nil)
		for i := range 100_000 {
			teller.Message(bus.Message{Subject: fmt.Sprint("s", i)}, errors.New("junk"))
		}
		if n := strings.Count(log.String(), "\n"); n > 300 {
			t.Errorf("%d lines", n)
		}
		log.Reset()
		time.Sleep(skip.Again + time.Second)
		teller.Message(bus.Message{Subject: "other"}, errors.New("junk"))
		if !strings.Contains(log.String(), "subject=other") {
			t.Errorf("after a minute: %q", log.String())
		}
	})
}
