package sqlite_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/platform/store/sqlite"
	"github.com/spotserve/spotserve/platform/store/storetest"
)

// crashEnv names the file that this test program, run again, writes to.
const crashEnv = "SPOTSERVE_TEST_WRITE_TO"

func TestMain(m *testing.M) {
	if path := os.Getenv(crashEnv); path != "" {
		writeAndHang(path)
	}
	os.Exit(m.Run())
}

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) string {
		// A folder that does not exist, and characters that a URI would take for its own.
		return "sqlite:" + filepath.Join(t.TempDir(), "data", "100% odd?#name.db")
	})
}

func openWriter(t *testing.T, path string) *sqlite.Writer {
	t.Helper()
	w, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

func wantCount(t *testing.T, r store.Reader, want int) {
	t.Helper()
	rows, err := r.Query(t.Context(), "SELECT count(*) FROM request_latency")
	if err != nil {
		t.Fatal(err)
	}
	if got := rows.Values[0][0]; got != int64(want) {
		t.Errorf("%v requests, want %d", got, want)
	}
}

func TestSecondWriterIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	first := openWriter(t, path)
	_, err := sqlite.Open(t.Context(), path)
	if !errors.Is(err, sqlite.ErrOwned) || !strings.Contains(err.Error(), "pid "+strconv.Itoa(os.Getpid())) {
		t.Errorf("a second writer: %v; want ErrOwned and this process's id", err)
	}
	if err := first.Write(t.Context(), storetest.Random(1, 3)); err != nil {
		t.Errorf("the first writer after that: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	wantCount(t, openWriter(t, path), 3)
}

// writeAndHang is the other process: it says when it has written.
func writeAndHang(path string) {
	w, err := sqlite.Open(context.Background(), path)
	if err == nil {
		err = w.Write(context.Background(), storetest.Random(1, 3))
	}
	fmt.Println(err)
	select {}
}

func TestCrashedWriterFreesTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	other := exec.Command(os.Args[0])
	other.Env = append(os.Environ(), crashEnv+"="+path)
	out, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer kill(other)
	if said, err := bufio.NewReader(out).ReadString('\n'); said != "<nil>\n" {
		t.Fatalf("the other process: %q, %v", said, err)
	}

	_, err = sqlite.Open(t.Context(), path)
	if !errors.Is(err, sqlite.ErrOwned) || !strings.Contains(err.Error(), fmt.Sprintf("pid %d ", other.Process.Pid)) {
		t.Errorf("while the other process lives: %v; want ErrOwned and its id %d", err, other.Process.Pid)
	}
	kill(other)

	r, err := sqlite.OpenReader(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	wantCount(t, r, 3)
	w := openWriter(t, path)
	if err := w.Write(t.Context(), storetest.Random(2, 5)); err != nil {
		t.Fatal(err)
	}
	wantCount(t, r, 5)
}

// kill ends the process, if it still runs, and waits until it is gone. The errors
// say just that: it was killed, or it had ended before.
func kill(other *exec.Cmd) {
	_ = other.Process.Kill()
	_ = other.Wait()
}

func TestFileGoesAndComesBack(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "data")
	path := filepath.Join(folder, "store.db")
	w := openWriter(t, path)
	b := storetest.Random(1, 10)
	half := store.Batch{Requests: b.Requests[:5]}
	if err := w.Write(t.Context(), half); err != nil {
		t.Fatal(err)
	}
	move := func(from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}

	move(folder, folder+"-away")
	for range 2 {
		if err := w.Write(t.Context(), b); err == nil || !strings.Contains(err.Error(), path) {
			t.Fatalf("a write to a file that has gone: %v; want an error that names it", err)
		}
	}
	if rows, err := w.Query(t.Context(), "SELECT 1"); err == nil {
		t.Errorf("a query of a file that has gone: %v and no error", rows)
	}
	move(folder+"-away", folder)
	wantCount(t, w, 5)
	if err := w.Write(t.Context(), b); err != nil {
		t.Fatalf("after it came back: %v", err)
	}
	got, err := storetest.ReadAll(t.Context(), w)
	if err != nil || !reflect.DeepEqual(got.Requests, b.Requests) {
		t.Errorf("after it came back: %v, %v", got.Requests, err)
	}
}

func TestFileIsReplaced(t *testing.T) {
	folder := t.TempDir()
	path, other := filepath.Join(folder, "store.db"), filepath.Join(folder, "other.db")
	w := openWriter(t, path)
	if err := w.Write(t.Context(), storetest.Random(1, 10)); err != nil {
		t.Fatal(err)
	}
	if err := openWriter(t, other).Close(); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		os.Remove(path + suffix)
	}
	if err := os.Rename(other, path); err != nil {
		t.Fatal(err)
	}
	if err := w.Write(t.Context(), storetest.Random(2, 4)); err != nil {
		t.Fatal(err)
	}
	r, err := sqlite.OpenReader(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	wantCount(t, r, 4)
	if _, err := sqlite.Open(t.Context(), path); !errors.Is(err, sqlite.ErrOwned) {
		t.Errorf("a second writer of the file that is there now: %v, want ErrOwned", err)
	}
}

func TestClosedWriter(t *testing.T) {
	w := openWriter(t, filepath.Join(t.TempDir(), "store.db"))
	for range 2 {
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Write(t.Context(), storetest.Random(1, 1)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a write after Close: %v, want ErrClosed", err)
	}
	if rows, err := w.Query(t.Context(), "SELECT 1"); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a query after Close: %v, %v, want ErrClosed", rows, err)
	}
}

func TestWrongFiles(t *testing.T) {
	folder := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct {
		path         string
		reads, opens string // what the errors say; empty: no error
	}{
		{"", "sqlite:PATH", "sqlite:PATH"},
		{":memory:", "in memory", "in memory"},
		{"//tmp/x.db", "two slashes", "two slashes"},
		{folder, "is a folder", "is a folder"},
		{file("text.db", strings.Repeat("this is no database. ", 100)), "not a database", "not a database"},
		{file("empty.db", ""), "empty", ""},
		{filepath.Join(file("plain", "x"), "store.db"), "plain", "plain"},
	} {
		r, err := sqlite.OpenReader(t.Context(), c.path)
		wantError(t, "reader of "+c.path, err, c.reads)
		if err == nil {
			r.Close()
		}
		w, err := sqlite.Open(t.Context(), c.path)
		wantError(t, "writer of "+c.path, err, c.opens)
		if err == nil {
			w.Close()
		}
	}
}

// In WAL mode SQLite reads through files beside the store. An open store has
// them; for a closed one a reader has to make them.
func TestReadOnlyFolder(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("SKIPPED, NOT TESTED: root may write to every folder")
	}
	folder := filepath.Join(t.TempDir(), "data")
	path := filepath.Join(folder, "store.db")
	w := openWriter(t, path)
	access := func(mode os.FileMode) {
		t.Helper()
		if err := os.Chmod(folder, mode); err != nil {
			t.Error(err)
		}
	}
	access(0o555)
	defer access(0o755) // so that it can be removed
	r, err := sqlite.OpenReader(t.Context(), path)
	if err != nil {
		t.Fatalf("while a writer has it open: %v", err)
	}
	r.Close()
	access(0o755)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	access(0o555)
	_, err = sqlite.OpenReader(t.Context(), path)
	wantError(t, "while it is closed", err, "read-only")
}

func wantError(t *testing.T, what string, err error, says string) {
	t.Helper()
	switch {
	case says == "" && err != nil:
		t.Errorf("%s: %v", what, err)
	case says != "" && (err == nil || !strings.Contains(err.Error(), says)):
		t.Errorf("%s: %v; want an error that says %q", what, err, says)
	}
}
