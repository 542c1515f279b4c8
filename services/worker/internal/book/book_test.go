package book

import (
	"errors"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/bus/membus"
)

func TestTheLastEntryCounts(t *testing.T) {
	b := membus.New(membus.Options{})
	defer b.Close()
	book := New(b)
	if _, err := book.Get(t.Context(), "node-1"); err == nil || !strings.Contains(err.Error(), "node-1") {
		t.Errorf("a node that nobody entered: %v", err)
	}
	for _, address := range []string{"127.0.0.1:1", "127.0.0.1:2"} {
		if err := book.Put(t.Context(), "node-1", address); err != nil {
			t.Fatal(err)
		}
		if got, err := book.Get(t.Context(), "node-1"); err != nil || got != address {
			t.Errorf("got %q, %v, want %q", got, err, address)
		}
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := book.Get(t.Context(), "node-1"); err != nil || got != "127.0.0.1:2" {
		t.Errorf("with the bus away: %q, %v", got, err)
	}
	if _, err := book.Get(t.Context(), "node-2"); !errors.Is(err, bus.ErrClosed) {
		t.Errorf("a node that was never read, with the bus away: %v", err)
	}
}
