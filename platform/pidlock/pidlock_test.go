package pidlock_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/platform/pidlock"
)

func TestOneOwnerAtATime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.lock")
	lock, err := pidlock.Take(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = pidlock.Take(path)
	held, ok := errors.AsType[*pidlock.HeldError](err)
	if !ok || !strings.Contains(held.Owner, strconv.Itoa(os.Getpid())) || held.Path != path {
		t.Fatalf("the second gets %v, want to hear of pid %d", err, os.Getpid())
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := pidlock.Take(path)
	if err != nil {
		t.Fatalf("after the first let go: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := pidlock.Take(filepath.Join(t.TempDir(), "no", "folder")); err == nil || errors.As(err, new(*pidlock.HeldError)) {
		t.Errorf("without a folder: %v, want what the system says", err)
	}
}
