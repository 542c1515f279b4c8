package cli

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/spotserve/spotserve/cmd/spotserve/internal/result"
	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/platform/store/open"
	"github.com/spotserve/spotserve/services/plotter"
)

// redacted is a store URL for people: see open.Redacted.
func redacted(storeURL string) string { return open.Redacted(storeURL) }

func (a *app) sql() *cobra.Command {
	return &cobra.Command{
		Use:     "sql <statement>",
		Short:   "query the store, read only",
		Example: `  spotserve sql "SELECT run, avg, p99 FROM latency_summary"`,
		Args:    arguments("statement"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.reader(cmd.Context(), func(r store.Reader) error {
				rows, err := r.Query(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				return a.printRows(rows)
			})
		},
	}
}

// printRows prints a table, or a JSON array with an object a row.
func (a *app) printRows(rows store.Rows) error {
	if a.output == "json" {
		out := make([]map[string]any, len(rows.Values))
		for i, values := range rows.Values {
			out[i] = make(map[string]any, len(values))
			for j, v := range values {
				out[i][rows.Columns[j]] = v
			}
		}
		e := json.NewEncoder(a.stdout)
		e.SetIndent("", "  ")
		return e.Encode(out)
	}
	t := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, strings.Join(rows.Columns, "\t"))
	for _, values := range rows.Values {
		cells := make([]string, len(values))
		for i, v := range values {
			cells[i] = cell(v)
		}
		_, _ = fmt.Fprintln(t, strings.Join(cells, "\t"))
	}
	return t.Flush()
}

func cell(v any) string {
	switch v := v.(type) {
	case nil:
		return "NULL"
	case float64:
		return exact(v)
	default:
		return fmt.Sprint(v)
	}
}

// exact is the shortest decimal that reads back as v, with an exponent only
// where the digits would get long: as the stock clickhouse-client prints it.
func exact(v float64) string {
	format := byte('f')
	if size := math.Abs(v); size != 0 && (size < 1e-6 || size >= 1e21) {
		format = 'e'
	}
	return strings.Replace(strconv.FormatFloat(v, format, -1, 64), "e-0", "e-", 1)
}

func (a *app) ls() *cobra.Command {
	return &cobra.Command{
		Use:   "ls",
		Short: "list the runs in the store",
		Args:  arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.reader(cmd.Context(), func(r store.Reader) error {
				runs, err := store.ListRuns(cmd.Context(), r)
				if err != nil {
					return err
				}
				return a.printRows(runRows(runs))
			})
		},
	}
}

func runRows(runs []store.Run) store.Rows {
	rows := store.Rows{Columns: []string{"run", "status", "name", "sweep", "approach", "model", "trace", "seed", "pace", "completed", "started", "reason"}}
	for _, r := range runs {
		pace := fmt.Sprintf("x%g", r.TimeScale)
		switch {
		case r.Virtual:
			pace = "virtual"
		case r.TimeScale == 0:
			pace = ""
		}
		rows.Values = append(rows.Values, []any{
			r.Run, r.Status, r.Name, point(plotter.SweepOf(r)), r.Approach, r.Model, r.Trace, int64(r.Seed), pace, int64(r.Completed),
			time.UnixMilli(r.StartedUnixMS).Format(time.DateTime), r.Reason,
		})
	}
	return rows
}

// point is a point of a sweep as text.
func point(sweep []plotter.Setting) string {
	parts := make([]string, len(sweep))
	for i, s := range sweep {
		parts[i] = s.Key + " " + s.Value
	}
	return strings.Join(parts, ", ")
}

func (a *app) show() *cobra.Command {
	return &cobra.Command{
		Use:   "show <run>",
		Short: "print the result of a run",
		Args:  arguments("run"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.reader(cmd.Context(), func(r store.Reader) error {
				res, err := result.Load(cmd.Context(), r, args[0])
				if err != nil {
					return fmt.Errorf("%w; spotserve ls lists the runs", err)
				}
				res.Store = redacted(a.storeURL)
				return a.print(res)
			})
		},
	}
}
