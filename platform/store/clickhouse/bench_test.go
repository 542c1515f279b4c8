package clickhouse

import (
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/platform/store/internal/layout"
	"github.com/spotserve/spotserve/platform/store/storetest/chtest"
)

// BenchmarkWrite shows the rows a second of the writer beside those of the
// client alone, which has the values at hand column by column.
//
//	go test -run - -bench Write ./platform/store/clickhouse
func BenchmarkWrite(b *testing.B) {
	w, err := Open(b.Context(), chtest.Start(b).URL("bench"))
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close()
	batch := store.Batch{Requests: make([]store.RequestLatency, 5000)}
	for i := range batch.Requests {
		latency := float64(i)
		batch.Requests[i] = store.RequestLatency{
			Run: "e2e-1", Request: uint64(i), LatencyMS: &latency, TokensIn: 512, TokensOut: 128, Status: "completed", Config: "2x3x4",
		}
	}
	b.Run("writer", func(b *testing.B) {
		for b.Loop() {
			if err := w.Write(b.Context(), batch); err != nil {
				b.Fatal(err)
			}
		}
		reportRows(b, batch.Len())
	})
	b.Run("raw", func(b *testing.B) {
		table := layout.Tables(batch)[0]
		columns := columnsOf(table)
		for b.Loop() {
			insert, err := w.conn.PrepareBatch(b.Context(), "INSERT INTO request_latency_rows ("+strings.Join(table.Columns, ", ")+")")
			if err != nil {
				b.Fatal(err)
			}
			if err := sendRaw(insert, columns); err != nil {
				b.Fatal(err)
			}
		}
		reportRows(b, batch.Len())
	})
}

// columnsOf returns the rows as one typed slice a column.
func columnsOf(t layout.Table) []any {
	columns := make([]any, len(t.Columns))
	for c, name := range t.Columns {
		var ints []int64
		var floats []float64
		var nullable []*float64
		var texts []string
		isNullable := name == "started_ms" || name == "finished_ms" || name == "latency_ms"
		for i := range t.Len() {
			switch v := t.Append(nil, i)[c].(type) {
			case int64:
				ints = append(ints, v)
				columns[c] = ints
			case string:
				texts = append(texts, v)
				columns[c] = texts
			case float64:
				floats, nullable = append(floats, v), append(nullable, &v)
				columns[c] = floats
			case nil:
				nullable = append(nullable, nil)
			}
		}
		if isNullable {
			columns[c] = nullable
		}
	}
	return columns
}

func sendRaw(insert driver.Batch, columns []any) error {
	for c, values := range columns {
		if err := insert.Column(c).Append(values); err != nil {
			return err
		}
	}
	return insert.Send()
}

func reportRows(b *testing.B, rows int) {
	b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
