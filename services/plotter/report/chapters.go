package report

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/spotserve/spotserve/catalog"
	"github.com/spotserve/spotserve/core/experiment"
)

// chapters are the figures of the paper that experiments make, in its order.
func chapters() []chapter {
	const ablated = "20B" // the model of Figures 7 to 9
	return []chapter{
		{
			name: "e2e", title: "Figure 6: end-to-end latency on spot instances",
			kinds: []experiment.Kind{experiment.EndToEnd}, tables: latencyTables, draw: drawE2E,
		},
		{
			name: "price", title: "Figure 7: cost and latency of spot and on-demand instances",
			kinds: []experiment.Kind{experiment.OnDemand, experiment.EndToEnd}, model: ablated, tables: priceTables, draw: drawPrice,
		},
		{
			name: "workload", title: "Figure 8: latency under a fluctuating workload",
			kinds: []experiment.Kind{experiment.Workload}, tables: latencyTables, draw: drawWorkload,
		},
		{
			name: "ablation", title: "Figure 9: ablation of SpotServe",
			kinds: []experiment.Kind{experiment.Ablation}, tables: ablationTables, draw: drawAblation,
		},
	}
}

// seedsColumn is the number of seeds behind a row.
func seedsColumn() Column { return Column{"seeds", true} }

// publishedColumns are the columns of a metric that may be published.
func publishedColumns(name string) []Column {
	return []Column{{name, true}, {"published", true}, {"error", true}}
}

// latencyTables are two tables a model: average and P99 beside the published
// ones, and all percentiles.
func latencyTables(all []measured) []Table {
	var tables []Table
	for _, of := range groupBy(all, func(m measured) string { return m.spec.Model.Name }) {
		model := of[0].spec.Model.Name
		latency := Table{Title: model + ": average and P99 latency", Columns: slices.Concat(
			[]Column{{"trace", false}, {"approach", false}, seedsColumn()},
			publishedColumns("average, s"), publishedColumns("P99, s"), []Column{{"not completed", true}},
		)}
		tail := Table{Title: model + ": percentiles of the latency", Columns: []Column{
			{"trace", false}, {"approach", false}, seedsColumn(),
			{"P50, s", true}, {"P90, s", true}, {"P95, s", true}, {"P96, s", true}, {"P97, s", true}, {"P98, s", true}, {"P99, s", true},
		}}
		for _, m := range of {
			head := []string{m.spec.Trace, string(m.spec.Approach), count(m)}
			latency.Rows = append(latency.Rows, slices.Concat(
				head, m.result.published("avg_s"), m.result.published("p99_s"), []string{m.result.whole("unfinished")}))
			row := head
			for _, name := range []string{"p50_s", "p90_s", "p95_s", "p96_s", "p97_s", "p98_s", "p99_s"} {
				row = append(row, m.result.seconds(name))
			}
			tail.Rows = append(tail.Rows, row)
		}
		tables = append(tables, latency, tail)
	}
	return tables
}

// priceTables is what each point of Figure 7 costs.
func priceTables(all []measured) []Table {
	t := Table{Columns: slices.Concat(
		[]Column{{"run", false}, {"approach", false}, seedsColumn(), {"USD per million tokens", true}, {"spot node minutes", true}, {"on-demand node minutes", true}},
		publishedColumns("average, s"), publishedColumns("P99, s"),
	)}
	for _, m := range all {
		t.Rows = append(t.Rows, slices.Concat(
			[]string{m.point(), string(m.spec.Approach), count(m), m.result.perMillion("usd_per_token"), m.result.whole("spot_minutes"), m.result.whole("on_demand_minutes")},
			m.result.published("avg_s"), m.result.published("p99_s")))
	}
	return []Table{t}
}

// ablationTables is a table a trace.
func ablationTables(all []measured) []Table {
	names := catalog.Levels()
	var tables []Table
	for _, of := range groupBy(all, func(m measured) string { return m.spec.Trace }) {
		t := Table{Title: of[0].spec.Trace, Columns: slices.Concat(
			[]Column{{"level", true}, {"also without", false}, seedsColumn()}, publishedColumns("average, s"), publishedColumns("P99, s"),
			[]Column{{"P99 over that of level 0", true}, {"tokens recomputed", true}},
		)}
		whole := of[0].result.metric("p99_s")
		for _, m := range of {
			times := absent
			if p99 := m.result.metric("p99_s"); p99 != nil && whole != nil && of[0].spec.Level == 0 && whole.Median > 0 {
				times = fmt.Sprintf("%.2f", p99.Median/whole.Median)
			}
			t.Rows = append(t.Rows, slices.Concat(
				[]string{fmt.Sprint(m.spec.Level), names[m.spec.Level], count(m)},
				m.result.published("avg_s"), m.result.published("p99_s"), []string{times, m.result.whole("tokens_recomputed")}))
		}
		tables = append(tables, t)
	}
	return tables
}

// groupBy puts cells of equal names together, in the order of first met.
func groupBy(all []measured, name func(measured) string) [][]measured {
	var names []string
	var groups [][]measured
	for _, m := range all {
		i := slices.Index(names, name(m))
		if i < 0 {
			i = len(names)
			names, groups = append(names, name(m)), append(groups, nil)
		}
		groups[i] = append(groups[i], m)
	}
	return groups
}

// count is how many seeds a cell has.
func count(m measured) string { return strconv.Itoa(len(m.runs)) }
