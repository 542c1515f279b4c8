package readonly_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/platform/store/internal/readonly"
)

func TestStatementAllowed(t *testing.T) {
	for _, c := range []struct {
		dialect  readonly.Dialect
		sql, out string
	}{
		{readonly.SQLite, "SELECT 1", "SELECT 1"},
		{readonly.SQLite, "  select 1 ; ; -- end", "select 1 "},
		{readonly.SQLite, "-- why\n/* what */ SELECT ';' AS a;", "SELECT ';' AS a"},
		{readonly.SQLite, "SELECT 'it''s; fine'", "SELECT 'it''s; fine'"},
		{readonly.SQLite, `SELECT 'a\'; --'`, `SELECT 'a\'`},
		{readonly.SQLite, "SELECT [a;b], `c;d`, \"e;f\" -- ; x", "SELECT [a;b], `c;d`, \"e;f\" -- ; x"},
		{readonly.SQLite, "WITH x AS (SELECT 1) SELECT * FROM x", "WITH x AS (SELECT 1) SELECT * FROM x"},
		{readonly.SQLite, "VALUES(1)", "VALUES(1)"},
		{readonly.ClickHouse, "(SELECT 1) UNION ALL SELECT 2;", "(SELECT 1) UNION ALL SELECT 2"},
		{readonly.ClickHouse, `SELECT 'a\';b'`, `SELECT 'a\';b'`},
		{readonly.ClickHouse, "SHOW TABLES", "SHOW TABLES"},
		{readonly.ClickHouse, "describe table runs", "describe table runs"},
	} {
		out, err := c.dialect.Statement(c.sql)
		if err != nil || out != c.out {
			t.Errorf("%q: got %q, %v; want %q", c.sql, out, err, c.out)
		}
	}
}

func TestStatementRefused(t *testing.T) {
	for _, c := range []struct {
		dialect   readonly.Dialect
		sql, says string
	}{
		{readonly.SQLite, "", "empty"},
		{readonly.SQLite, " -- SELECT", "empty"},
		{readonly.SQLite, "/* SELECT 1", "empty"},
		{readonly.SQLite, "(", "empty"},
		{readonly.SQLite, "INSERT INTO runs VALUES (1)", `"INSERT"`},
		{readonly.SQLite, "PRAGMA query_only = 0", `"PRAGMA"`},
		{readonly.SQLite, "ATTACH 'x' AS x", `"ATTACH"`},
		{readonly.SQLite, "SELECT 1; DROP TABLE runs", "one statement"},
		{readonly.SQLite, `SELECT 'a\'; DROP TABLE runs`, "one statement"},
		{readonly.SQLite, "SELECT 1;;/* x */ATTACH 'x' AS x", "one statement"},
		{readonly.ClickHouse, "VALUES (1)", `"VALUES"`},
		{readonly.ClickHouse, "SYSTEM SHUTDOWN", `"SYSTEM"`},
		{readonly.ClickHouse, "SELECT [1,2]; DROP TABLE runs", "one statement"},
		{readonly.ClickHouse, "1", "SELECT"},
	} {
		_, err := c.dialect.Statement(c.sql)
		if !errors.Is(err, readonly.ErrRefused) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q: got %v, want a refusal that says %s", c.sql, err, c.says)
		}
	}
}

// What is let through is one statement: let through again, it is the same.
func FuzzStatement(f *testing.F) {
	for _, seed := range []string{"SELECT 1;", "SELECT '", "(SELECT [", "/*", "--\nSELECT \\';x", "WITH`;`;"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		for _, d := range []readonly.Dialect{readonly.SQLite, readonly.ClickHouse} {
			once, err := d.Statement(sql)
			if err != nil {
				continue
			}
			twice, err := d.Statement(once)
			if err != nil || once != twice {
				t.Errorf("%q: first %q, then %q, %v", sql, once, twice, err)
			}
		}
	})
}
