package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"path"
)

// Each file takes the schema one version further: 001 makes version 1.
//
//go:embed schema/*.sql
var schema embed.FS

// schemaFiles returns the text of the schema files, in order.
func schemaFiles() ([]string, error) {
	entries, err := schema.ReadDir("schema")
	if err != nil {
		return nil, err
	}
	files := make([]string, len(entries))
	for i, e := range entries {
		text, err := schema.ReadFile(path.Join("schema", e.Name()))
		if err != nil {
			return nil, err
		}
		files[i] = string(text)
	}
	return files, nil
}

func schemaVersion(ctx context.Context, db *sql.DB) (version int, err error) {
	err = db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version)
	return version, err
}

// readable is the newest schema that a build reads and writes which knows so many:
// the next one adds tables, or columns with a default, and takes nothing away, so
// that collectors can be replaced one at a time, and back.
func readable(known int) int { return known + 1 }

// migrate brings the schema up to date, a transaction a version.
func migrate(ctx context.Context, db *sql.DB) error {
	files, err := schemaFiles()
	if err != nil {
		return err
	}
	version, err := schemaVersion(ctx, db)
	if err != nil {
		return err
	}
	if version > readable(len(files)) {
		return fmt.Errorf("it has schema %d, written by a newer build; this one knows %d and writes %d too: update it", version, len(files), readable(len(files)))
	}
	for ; version < len(files); version++ {
		if err := migrateTo(ctx, db, version+1, files[version]); err != nil {
			return fmt.Errorf("set up schema %d: %w", version+1, err)
		}
	}
	return nil
}

func migrateTo(ctx context.Context, db *sql.DB, version int, statements string) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, statements); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", version)); err != nil {
		return err
	}
	return tx.Commit()
}
