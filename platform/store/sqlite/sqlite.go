// Package sqlite keeps the rows in one SQLite file, for one host.
//
// One process writes, through Open; it holds the lock file PATH.lock for as long
// as it lives, and a second one is refused. Any number of processes read,
// through OpenReader, also while nobody writes. The file is in WAL mode, so
// readers and the writer do not wait for each other.
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
	"strings"

	"modernc.org/sqlite"
)

// busyTimeout is how long a statement waits for the file's lock, in
// milliseconds. Only checkpoints and the opening of a file need it.
const busyTimeout = "busy_timeout(5000)"

// connect opens the file with the driver's parameters and checks that it works.
func connect(ctx context.Context, path string, params url.Values) (*sql.DB, error) {
	// A path is not a URI: what is special there is escaped.
	name := "file:" + (&url.URL{Path: filepath.ToSlash(path)}).EscapedPath()
	connector, err := sqlite.NewConnector(name + "?" + params.Encode())
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector)
	if err := db.PingContext(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func storeName(path string) string { return "sqlite:" + path }

// checkPath refuses what is no path of a file that a second process could open.
func checkPath(path string) error {
	switch {
	case path == "":
		return errors.New("store sqlite: has no path; allowed: sqlite:PATH, for example sqlite:spotserve-data/store.db")
	case strings.HasPrefix(path, "//"):
		return fmt.Errorf("store %s: the path begins with two slashes; allowed: sqlite:PATH, or sqlite:/PATH from the root", storeName(path))
	case strings.HasPrefix(path, ":"):
		return fmt.Errorf("store %s: a store in memory cannot be read by others; allowed: sqlite:PATH of a file", storeName(path))
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return fmt.Errorf("store %s is a folder; name a file in it", storeName(path))
	}
	return nil
}

// errNoFile explains that nothing has been stored yet.
func errNoFile(path string) error {
	return fmt.Errorf("store %s does not exist: run an experiment or start a collector with it first, or choose another one with --store: %w",
		storeName(path), fs.ErrNotExist)
}
