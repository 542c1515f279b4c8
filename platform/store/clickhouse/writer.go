package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/spotserve/spotserve/platform/credential"
	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/platform/store/internal/layout"
)

// Writer writes to a database. It may be used by several goroutines; their
// batches are written one after the other.
type Writer struct {
	Reader

	mu    sync.Mutex
	ready bool // the tables are there, as far as known
}

// Open connects to a database and sets up its tables. It makes the database if
// it does not exist.
func Open(ctx context.Context, url string) (*Writer, error) {
	return OpenAs(ctx, credential.Files{}, url)
}

// OpenAs is Open with credentials.
func OpenAs(ctx context.Context, files credential.Files, url string) (*Writer, error) {
	t, err := parse(url, files)
	if err != nil {
		return nil, err
	}
	conn, err := t.connect(t.options.Auth.Database)
	if err != nil {
		return nil, err
	}
	w := &Writer{Reader: Reader{target: t, conn: conn}}
	if err := w.setUp(ctx); err != nil {
		conn.Close()
		return nil, t.explain("open", err)
	}
	return w, nil
}

// setUp makes what is missing of the database and its tables.
func (w *Writer) setUp(ctx context.Context) error {
	err := migrate(ctx, w.conn)
	if hasCode(err, codeUnknownDatabase) {
		if err := w.createDatabase(ctx); err != nil {
			return err
		}
		err = migrate(ctx, w.conn)
	}
	w.ready = err == nil
	return err
}

// createDatabase needs connections of its own: none can be made to a database
// that does not exist. Every user may connect to system.
func (w *Writer) createDatabase(ctx context.Context) error {
	conn, err := w.target.connect("system")
	if err != nil {
		return err
	}
	return errors.Join(
		conn.Exec(ctx, "CREATE DATABASE IF NOT EXISTS "+w.target.options.Auth.Database),
		conn.Close(),
	)
}

// Write implements store.Writer: one insert a table. After an error some tables
// may have their rows; written again, they count once.
func (w *Writer) Write(ctx context.Context, b store.Batch) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.write(ctx, b); err != nil {
		// The server may come back with an empty disk.
		w.ready = false
		return w.target.explain(fmt.Sprintf("write %d rows to", b.Len()), err)
	}
	return nil
}

func (w *Writer) write(ctx context.Context, b store.Batch) error {
	if !w.ready {
		if err := w.setUp(ctx); err != nil {
			return err
		}
	}
	for _, t := range layout.Tables(b) {
		if err := insert(ctx, w.conn, t); err != nil {
			return fmt.Errorf("table %s: %w", t.Name, err)
		}
	}
	return nil
}

func insert(ctx context.Context, conn driver.Conn, t layout.Table) error {
	batch, err := conn.PrepareBatch(ctx, "INSERT INTO "+t.Name+"_rows ("+strings.Join(t.Columns, ", ")+")")
	if err != nil {
		return err
	}
	defer batch.Close()
	var values []any
	for i := range t.Len() {
		values = t.Append(values[:0], i)
		if err := batch.Append(values...); err != nil {
			return err
		}
	}
	return batch.Send()
}

// NextRun implements store.Writer.
func (w *Writer) NextRun(ctx context.Context, prefix string) (uint64, error) {
	return store.NextRun(ctx, w, prefix)
}
