// Package layout says which table and columns the rows of a batch go to.
package layout

import (
	"reflect"
	"slices"

	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/platform/store/internal/record"
)

// Table is the part of a batch that goes to one table.
type Table struct {
	Name    string
	Columns []string
	rows    reflect.Value
}

// Len is the number of rows.
func (t Table) Len() int { return t.rows.Len() }

// Append adds the values of row i to dst, in the order of Columns.
func (t Table) Append(dst []any, i int) []any { return record.Append(dst, t.rows.Index(i)) }

// Tables returns the tables that b has rows for. Table runs is the last: where
// tables are written one by one, a run that reads finished has all its rows.
func Tables(b store.Batch) []Table {
	return slices.DeleteFunc(every(b), func(t Table) bool { return t.Len() == 0 })
}

// Names returns the names of all tables. Table runs is the last.
func Names() []string {
	var names []string
	for _, t := range every(store.Batch{}) {
		names = append(names, t.Name)
	}
	return names
}

func every(b store.Batch) []Table {
	var tables []Table
	for _, t := range []struct {
		name string
		rows any
	}{
		{"request_latency", b.Requests},
		{"request_output", b.Outputs},
		{"fleet_event", b.Fleet},
		{"config_change", b.Configs},
		{"migration", b.Moves},
		{"node_time", b.Nodes},
		{"runs", b.Runs},
	} {
		rows := reflect.ValueOf(t.rows)
		tables = append(tables, Table{t.name, record.Columns(rows.Type().Elem()), rows})
	}
	return tables
}
