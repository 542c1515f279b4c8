package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// NextRun finds the number of the next run by the names in table runs, which
// are kind-n for live runs and kind-vn for virtual ones; prefix is "" or "v".
// Other names do not count. The first number is 1.
func NextRun(ctx context.Context, r Reader, prefix string) (uint64, error) {
	rows, err := r.Query(ctx, "SELECT run FROM runs")
	if err != nil {
		return 0, fmt.Errorf("number the next run: %w", err)
	}
	var last uint64
	for _, values := range rows.Values {
		name, _ := values[0].(string)
		if n, ok := runNumber(name, prefix); ok {
			last = max(last, n)
		}
	}
	return last + 1, nil
}

// runNumber is the n of the run name kind-<prefix>n.
func runNumber(run, prefix string) (uint64, bool) {
	dash := strings.LastIndexByte(run, '-')
	if dash < 1 {
		return 0, false
	}
	digits, ok := strings.CutPrefix(run[dash+1:], prefix)
	if !ok {
		return 0, false
	}
	// 63 bits leave room for the number after it.
	n, err := strconv.ParseUint(digits, 10, 63)
	return n, err == nil
}
