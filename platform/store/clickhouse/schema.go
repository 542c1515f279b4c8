package clickhouse

import (
	"context"
	"embed"
	"fmt"
	"path"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Each file takes the schema one version further: 001 makes version 1. A file
// may be run again after it failed half way, so its statements say IF NOT
// EXISTS. A statement ends with a semicolon at the end of a line.
//
//go:embed schema/*.sql
var schema embed.FS

const createVersions = `CREATE TABLE IF NOT EXISTS schema_version (
    version Int64,
    at      DateTime DEFAULT now()
) ENGINE = MergeTree ORDER BY version`

// migrate brings the schema up to date.
func migrate(ctx context.Context, conn driver.Conn) error {
	entries, err := schema.ReadDir("schema")
	if err != nil {
		return err
	}
	if err := conn.Exec(ctx, createVersions); err != nil {
		return err
	}
	var version int64
	if err := conn.QueryRow(ctx, "SELECT max(version) FROM schema_version").Scan(&version); err != nil {
		return err
	}
	// The next schema only adds tables, or columns with a default: collectors can be
	// replaced one at a time, and back.
	if next := int64(len(entries)) + 1; version > next {
		return fmt.Errorf("it has schema %d, written by a newer build; this one knows %d and writes %d too: update it", version, len(entries), next)
	}
	for _, e := range entries[min(version, int64(len(entries))):] {
		version++
		text, err := schema.ReadFile(path.Join("schema", e.Name()))
		if err != nil {
			return err
		}
		if err := migrateTo(ctx, conn, version, string(text)); err != nil {
			return fmt.Errorf("set up schema %d: %w", version, err)
		}
	}
	return nil
}

func migrateTo(ctx context.Context, conn driver.Conn, version int64, statements string) error {
	for statement := range strings.SplitSeq(statements, ";\n") {
		if strings.TrimSpace(statement) == "" {
			continue
		}
		if err := conn.Exec(ctx, statement); err != nil {
			return err
		}
	}
	batch, err := conn.PrepareBatch(ctx, "INSERT INTO schema_version (version)")
	if err != nil {
		return err
	}
	defer batch.Close()
	if err := batch.Append(version); err != nil {
		return err
	}
	return batch.Send()
}
