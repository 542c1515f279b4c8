package chtest_test

import (
	"testing"

	clickhouse "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/spotserve/spotserve/platform/store/storetest/chtest"
)

func TestServer(t *testing.T) {
	server := chtest.Start(t)
	options, err := clickhouse.ParseDSN(server.URL("default"))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := clickhouse.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.Exec(t.Context(), "CREATE TABLE kept (n Int64) ENGINE = MergeTree ORDER BY n"); err != nil {
		t.Fatal(err)
	}
	server.Stop()
	if err := conn.Ping(t.Context()); err == nil {
		t.Error("a stopped server answers")
	}
	server.Restart()
	if err := conn.Exec(t.Context(), "SELECT n FROM kept"); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	server.Kill()
	server.Stop()
	if err := conn.Ping(t.Context()); err == nil {
		t.Error("a killed server answers")
	}
}
