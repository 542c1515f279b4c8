//go:build linux

package chaos

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/platform/natsserver"
	"github.com/spotserve/spotserve/platform/store/storetest/chtest"
)

// disk mounts a file system of some megabytes, and returns where and what fills
// it. Only root can; elsewhere the test is skipped, or fails if all dependencies
// are asked for.
func disk(t *testing.T, size string) (dir string, fill func() (empty func())) {
	t.Helper()
	dir = t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		if os.Getenv(chtest.RequireEnv) == "1" {
			t.Fatalf("mount a small disk: %v, and %s=1 asks for it", err, chtest.RequireEnv)
		}
		t.Skipf("SKIPPED, NOT TESTED: mount a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir, func() (empty func()) {
		t.Helper()
		name := filepath.Join(dir, "fill")
		f, err := os.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		block := make([]byte, 4096)
		for err == nil {
			_, err = f.Write(block)
		}
		return func() {
			if err := os.Remove(name); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestDiskOfTheStoreIsFull: rows wait in the stream, and the collector says why.
func TestDiskOfTheStoreIsFull(t *testing.T) {
	slow(t)
	dir, fill := disk(t, "8m")
	strike(t, options{store: "sqlite:" + filepath.Join(dir, "store.db")}, func(s *site, _ string) {
		empty := fill()
		collector := s.proc("collector")
		collector.Await(t, "the store does not take rows; they wait in the stream")
		if said := collector.Stderr.String(); !strings.Contains(said, "full") {
			t.Errorf("the collector does not say that the disk is full:\n%s", said)
		}
		s.watch.AwaitMore(5, event.RequestCompleted{}) // nobody waits for the store
		empty()
	})
}

// TestDiskOfNATSIsFull: JetStream stops storing, and the services wait. When
// there is room again and the server was started again, the run goes on.
func TestDiskOfNATSIsFull(t *testing.T) {
	slow(t)
	dir, fill := disk(t, "64m")
	strike(t, options{server: natsserver.Options{StoreDir: dir}}, func(s *site, _ string) {
		empty := fill()
		before := s.watch.Last(event.RequestCompleted{}.Kind())
		s.servers[0].kill()
		empty()
		s.servers[0].serve()
		s.watch.AwaitMore(1, event.RequestCompleted{})
		if after := s.watch.Last(event.RequestCompleted{}.Kind()); after.Seq <= before.Seq {
			t.Errorf("request completed %d after %d", after.Seq, before.Seq)
		}
	})
}
