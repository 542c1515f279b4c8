package sqlite_test

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/platform/store/internal/layout"
	"github.com/spotserve/spotserve/platform/store/sqlite"
	"github.com/spotserve/spotserve/platform/store/storetest"
)

// BenchmarkWrite shows the rows a second of the writer beside those of the
// database/sql driver with the plainest insert of the same rows.
//
//	go test -run - -bench Write ./platform/store/sqlite
func BenchmarkWrite(b *testing.B) {
	batch := storetest.Random(1, 5000)
	b.Run("writer", func(b *testing.B) {
		w, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "store.db"))
		if err != nil {
			b.Fatal(err)
		}
		defer w.Close()
		for b.Loop() {
			if err := w.Write(b.Context(), batch); err != nil {
				b.Fatal(err)
			}
		}
		reportRows(b, batch.Len())
	})
	b.Run("raw", func(b *testing.B) {
		path := filepath.Join(b.TempDir(), "store.db")
		w, err := sqlite.Open(b.Context(), path)
		if err != nil {
			b.Fatal(err)
		}
		defer w.Close()
		db, err := sql.Open("sqlite", path)
		if err != nil {
			b.Fatal(err)
		}
		defer db.Close()
		tables := layout.Tables(batch)
		for b.Loop() {
			if err := insertRaw(db, tables); err != nil {
				b.Fatal(err)
			}
		}
		reportRows(b, batch.Len())
	})
}

func insertRaw(db *sql.DB, tables []layout.Table) error {
	tx, err := db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for _, t := range tables {
		if err := insertTableRaw(tx, t); err != nil {
			return err
		}
	}
	return tx.Commit()
}

func insertTableRaw(tx *sql.Tx, t layout.Table) error {
	insert, err := tx.Prepare("INSERT OR REPLACE INTO " + t.Name + " VALUES (?" + strings.Repeat(", ?", len(t.Columns)-1) + ")")
	if err != nil {
		return err
	}
	defer insert.Close()
	for i := range t.Len() {
		if _, err := insert.Exec(t.Append(nil, i)...); err != nil {
			return err
		}
	}
	return nil
}

func reportRows(b *testing.B, rows int) {
	b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
