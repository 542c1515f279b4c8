package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/platform/store/internal/readonly"
)

// Reader reads a file that it cannot change: the file is opened read-only.
type Reader struct {
	path string
	db   *sql.DB
}

// OpenReader opens the file for reading. A file that is missing, or that no
// writer of this schema has set up, is an error.
func OpenReader(ctx context.Context, path string) (*Reader, error) {
	if err := checkPath(path); err != nil {
		return nil, err
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, errNoFile(path)
	}
	db, err := connect(ctx, path, url.Values{
		"mode":        {"ro"},
		"_pragma":     {busyTimeout},
		"_query_only": {"1"},
		"_dqs":        {"0"}, // "nosuch" is a missing column, not a text
	})
	if err != nil {
		return nil, errUnreadable(path, err)
	}
	r := &Reader{path, db}
	if err := r.checkSchema(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return r, nil
}

func (r *Reader) checkSchema(ctx context.Context) error {
	version, err := schemaVersion(ctx, r.db)
	if err != nil {
		return errUnreadable(r.path, err)
	}
	known, err := schemaFiles()
	if err != nil {
		return err
	}
	if version < len(known) || version > readable(len(known)) {
		return fmt.Errorf("store %s has schema %d and this build reads schema %d: %s",
			storeName(r.path), version, len(known), adviceFor(version))
	}
	return nil
}

func errUnreadable(path string, err error) error {
	why := ""
	var failed *sqlite.Error
	if errors.As(err, &failed) && failed.Code() == sqlite3.SQLITE_READONLY_DIRECTORY {
		why = "its folder is read-only, where SQLite makes files of its own while no collector has the store open: "
	}
	return fmt.Errorf("open store %s for reading: %s%w", storeName(path), why, err)
}

func adviceFor(version int) string {
	if version == 0 {
		return "it is empty or not a SpotServe store"
	}
	return "run the build that wrote it, or start a collector of this one to bring an older store up to date"
}

// Query implements store.Reader.
func (r *Reader) Query(ctx context.Context, text string, args ...any) (store.Rows, error) {
	statement, err := readonly.SQLite.Statement(text)
	if err != nil {
		return store.Rows{}, fmt.Errorf("store %s: %w", storeName(r.path), err)
	}
	rows, err := r.query(ctx, statement, args)
	if err != nil {
		return store.Rows{}, fmt.Errorf("query store %s: %w", storeName(r.path), err)
	}
	return rows, nil
}

func (r *Reader) query(ctx context.Context, statement string, args []any) (out store.Rows, err error) {
	rows, err := r.db.QueryContext(ctx, statement, args...)
	if err != nil {
		return out, err
	}
	defer rows.Close()
	if out.Columns, err = rows.Columns(); err != nil {
		return out, err
	}
	for rows.Next() {
		values := make([]any, len(out.Columns))
		into := make([]any, len(values))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			return out, err
		}
		for i, v := range values {
			if blob, ok := v.([]byte); ok {
				values[i] = string(blob)
			}
		}
		out.Values = append(out.Values, values)
	}
	return out, rows.Err()
}

// Close implements store.Reader.
func (r *Reader) Close() error { return r.db.Close() }
