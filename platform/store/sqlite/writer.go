package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/gofrs/flock"

	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/platform/store/internal/layout"
)

// Writer is the one writer of a file. It may be used by several goroutines;
// their batches are written one after the other.
type Writer struct {
	path string

	mu     sync.Mutex
	file   *file // nil while the file is away
	closed bool
}

// file is what the writer holds while it has the file open.
type file struct {
	lock   *flock.Flock
	db     *sql.DB // one connection
	reader *Reader
	info   os.FileInfo
}

// Open opens the file for writing. It makes the file and its folder if they do
// not exist, and returns ErrOwned if another process writes to it.
func Open(ctx context.Context, path string) (*Writer, error) {
	if err := checkPath(path); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("make the folder of store %s: %w", storeName(path), err)
	}
	f, err := openFile(ctx, path, "rwc")
	if err != nil {
		return nil, err
	}
	return &Writer{path: path, file: f}, nil
}

// openFile opens the file; mode is rwc or, for a file that has to exist, rw.
func openFile(ctx context.Context, path, mode string) (*file, error) {
	lock, err := own(path)
	if err != nil {
		return nil, err
	}
	f := &file{lock: lock}
	if err := f.open(ctx, path, mode); err != nil {
		return nil, errors.Join(fmt.Errorf("open store %s: %w", storeName(path), err), f.close())
	}
	return f, nil
}

func (f *file) open(ctx context.Context, path, mode string) (err error) {
	f.db, err = connect(ctx, path, url.Values{
		"mode": {mode},
		// What is acknowledged on the bus is on disk: each commit is synced.
		"_pragma": {busyTimeout, "journal_mode(WAL)", "synchronous(FULL)"},
		"_txlock": {"immediate"},
		"_dqs":    {"0"},
	})
	if err != nil {
		return err
	}
	f.db.SetMaxOpenConns(1)
	if err := migrate(ctx, f.db); err != nil {
		return err
	}
	if err := summariseMissing(ctx, f.db); err != nil {
		return err
	}
	if f.info, err = os.Stat(path); err != nil {
		return err
	}
	f.reader, err = OpenReader(ctx, path)
	return err
}

func (f *file) close() error {
	var errs []error
	if f.reader != nil {
		errs = append(errs, f.reader.Close())
	}
	if f.db != nil {
		errs = append(errs, f.db.Close())
	}
	return errors.Join(append(errs, f.lock.Close())...)
}

// current returns the open file. If the file at the path is no longer the one
// that was opened, because its folder was unmounted, moved or deleted, it opens
// what is there now; with nothing there it fails, rather than begin a store that
// lacks all rows so far or fill a deleted file. It needs w.mu.
func (w *Writer) current(ctx context.Context) (*file, error) {
	if w.closed {
		return nil, fmt.Errorf("store %s: %w", storeName(w.path), fs.ErrClosed)
	}
	info, err := os.Stat(w.path)
	if err != nil {
		return nil, fmt.Errorf("store %s has gone; put the file back and writing goes on: %w", storeName(w.path), err)
	}
	if w.file != nil && os.SameFile(info, w.file.info) {
		return w.file, nil
	}
	if w.file != nil {
		err := w.file.close()
		w.file = nil
		if err != nil {
			return nil, fmt.Errorf("leave the former file of store %s: %w", storeName(w.path), err)
		}
	}
	w.file, err = openFile(ctx, w.path, "rw")
	return w.file, err
}

// Write implements store.Writer: one transaction a batch.
func (w *Writer) Write(ctx context.Context, b store.Batch) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	f, err := w.current(ctx)
	if err != nil {
		return err
	}
	if err := writeBatch(ctx, f.db, b); err != nil {
		return fmt.Errorf("write %d rows to store %s: %w", b.Len(), storeName(w.path), err)
	}
	return nil
}

func writeBatch(ctx context.Context, db *sql.DB, b store.Batch) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	// After an error that made SQLite roll back by itself this one fails too,
	// and says nothing new.
	defer tx.Rollback()
	for _, t := range layout.Tables(b) {
		if err := writeTable(ctx, tx, t); err != nil {
			return fmt.Errorf("table %s: %w", t.Name, err)
		}
	}
	if err := summarise(ctx, tx, b); err != nil {
		return fmt.Errorf("sum up requests: %w", err)
	}
	return tx.Commit()
}

// rowsAtOnce is how many rows one statement inserts: enough that a statement's
// own cost hardly counts, and far from the bound on its parameters.
const rowsAtOnce = 64

func writeTable(ctx context.Context, tx *sql.Tx, t layout.Table) error {
	var insert *sql.Stmt
	defer func() {
		if insert != nil {
			insert.Close()
		}
	}()
	var values []any
	size := 0 // rows of the statement at hand
	for from := 0; from < t.Len(); from += size {
		if n := min(rowsAtOnce, t.Len()-from); n != size {
			if insert != nil {
				insert.Close()
			}
			var err error
			if insert, err = tx.PrepareContext(ctx, upsert(t, n)); err != nil {
				return err
			}
			size = n
		}
		values = values[:0]
		for i := range size {
			values = t.Append(values, from+i)
		}
		if _, err := insert.ExecContext(ctx, values...); err != nil {
			return err
		}
	}
	return nil
}

// upsert is the statement that inserts some rows. Each replaces a row of the same
// key, unless the row there has a higher version.
func upsert(t layout.Table, rows int) string {
	set := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		set[i] = c + " = excluded." + c
	}
	row := "(?" + strings.Repeat(", ?", len(t.Columns)-1) + ")"
	s := "INSERT INTO " + t.Name + " (" + strings.Join(t.Columns, ", ") + ") VALUES " + row + strings.Repeat(", "+row, rows-1) +
		" ON CONFLICT DO UPDATE SET " + strings.Join(set, ", ")
	if slices.Contains(t.Columns, "version") {
		s += " WHERE excluded.version >= " + t.Name + ".version"
	}
	return s
}

// NextRun implements store.Writer.
func (w *Writer) NextRun(ctx context.Context, prefix string) (uint64, error) {
	return store.NextRun(ctx, w, prefix)
}

// Query implements store.Reader, on a connection that only reads.
func (w *Writer) Query(ctx context.Context, text string, args ...any) (store.Rows, error) {
	w.mu.Lock()
	f, err := w.current(ctx)
	w.mu.Unlock()
	if err != nil {
		return store.Rows{}, err
	}
	return f.reader.Query(ctx, text, args...)
}

// Close implements store.Reader. It frees the file for another writer.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	if w.file == nil {
		return nil
	}
	f := w.file
	w.file = nil
	return f.close()
}
