package report

import (
	"math"
	"slices"
	"strconv"

	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/services/plotter"
)

// settingsTable gathers the settings of the runs of a report.
type settingsTable struct {
	columns []string            // what was run, in the order of first met
	keys    []string            // of all settings, in the order of first met
	values  []map[string]string // of each column
}

// add notes the settings of a run. Runs of one section and model have the same.
func (t *settingsTable) add(section string, run store.Run) {
	name := section + ", " + run.Model
	if slices.Contains(t.columns, name) {
		return
	}
	values := map[string]string{}
	for _, s := range plotter.SettingsOf(run) {
		if values[s.Key] = rounded(s.Value); !slices.Contains(t.keys, s.Key) {
			t.keys = append(t.keys, s.Key)
		}
	}
	t.columns, t.values = append(t.columns, name), append(t.values, values)
}

// rounded writes a number with six digits, and other text as it is.
func rounded(value string) string {
	v, err := strconv.ParseFloat(value, 64)
	if err != nil || v == math.Trunc(v) {
		return value
	}
	return strconv.FormatFloat(v, 'g', 6, 64)
}

// table has a row a setting. Where all runs agree it says so once.
func (t *settingsTable) table() Table {
	out := Table{Columns: []Column{{"setting", false}}}
	if len(t.columns) == 0 {
		return out
	}
	out.Columns = append(out.Columns, Column{"all", false})
	for _, name := range t.columns {
		out.Columns = append(out.Columns, Column{name, false})
	}
	for _, key := range t.keys {
		row := []string{key}
		var values []string
		for _, of := range t.values {
			value, ok := of[key]
			if !ok {
				value = absent
			}
			values = append(values, value)
		}
		if len(slices.Compact(slices.Clone(values))) == 1 {
			row = append(row, values[0])
			row = append(row, make([]string, len(values))...)
		} else {
			row = append(append(row, ""), values...)
		}
		out.Rows = append(out.Rows, row)
	}
	return out
}

// sameTable has a row for each setting in which all runs agree.
func sameTable(settings []plotter.Setting) Table {
	t := Table{Columns: []Column{{"setting", false}, {"of all", false}}}
	for _, s := range settings {
		t.Rows = append(t.Rows, []string{s.Key, rounded(s.Value)})
	}
	return t
}
