package look_test

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"

	clickhouse "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/nats-io/nats-server/v2/server"

	"github.com/spotserve/spotserve/cmd/spotserve/internal/doctor"
	"github.com/spotserve/spotserve/platform/store/storetest/chtest"
)

func TestSQLite(t *testing.T) {
	t.Parallel()
	s := newSite(t, server.Options{})
	s.stop["collector"]()
	s.stop["plotter"]()
	path := strings.TrimPrefix(s.options.Store, "sqlite:")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), "PRAGMA user_version = 99"); err != nil {
		t.Fatal(err)
	}
	also := []string{"consumer collector-control", "consumer collector-runs", "consumer plotter", "lease collector", "service collector"}
	mustFind(t, s.look(), "store", doctor.Failed, "schema 99", "correct --store", also...)
	s.options.Store = "sqlite:" + filepath.Join(t.TempDir(), "none.db")
	mustFind(t, s.look(), "store", doctor.Failed, "does not exist", "start a collector first", also...)
}

func TestClickHouse(t *testing.T) {
	t.Parallel()
	ch := chtest.Start(t)
	s := newSite(t, server.Options{})
	s.options.Store = ch.URL("doctor")
	mustFind(t, s.look(), "store", doctor.Failed, "its database does not exist", "start a collector first")
	if err := s.writer().Close(); err != nil {
		t.Fatal(err)
	}
	mustFind(t, s.look(), "store", doctor.OK, "this user reads and writes", "")
	options, err := clickhouse.ParseDSN(s.options.Store)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := clickhouse.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.Exec(t.Context(), "INSERT INTO schema_version (version) SELECT 99"); err != nil {
		t.Fatal(err)
	}
	mustFind(t, s.look(), "store schema", doctor.Warning, "it has schema 99, of a newer build", "newest collector")
	ch.Stop()
	mustFind(t, s.look(), "store", doctor.Failed, "it cannot be reached", "correct --store")
}
