package store

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/spotserve/spotserve/platform/store/internal/record"
)

// Scan turns a result into structs whose fields are named like the columns: a
// column arrived_ms goes to a field ArrivedMS. Every field needs its column;
// further columns are ignored. NULL becomes nil or zero.
func Scan[T any](rows Rows) ([]T, error) {
	columns := record.Columns(reflect.TypeFor[T]())
	from := make([]int, len(columns))
	for i, name := range columns {
		if from[i] = slices.Index(rows.Columns, name); from[i] < 0 {
			return nil, fmt.Errorf("the result has no column %s, it has %s", name, strings.Join(rows.Columns, ", "))
		}
	}
	out := make([]T, len(rows.Values))
	for n, values := range rows.Values {
		row := reflect.ValueOf(&out[n]).Elem()
		for i, name := range columns {
			if err := record.Set(row.Field(i), values[from[i]]); err != nil {
				return nil, fmt.Errorf("row %d, column %s: %w", n+1, name, err)
			}
		}
	}
	return out, nil
}

// selectAll reads the rows of a table or view that T describes. The tail is
// what follows the FROM clause.
func selectAll[T any](ctx context.Context, r Reader, from, tail string, args ...any) ([]T, error) {
	columns := record.Columns(reflect.TypeFor[T]())
	rows, err := r.Query(ctx, "SELECT "+strings.Join(columns, ", ")+" FROM "+from+" "+tail, args...)
	if err != nil {
		return nil, err
	}
	out, err := Scan[T](rows)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", from, err)
	}
	return out, nil
}
