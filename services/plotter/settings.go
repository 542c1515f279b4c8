package plotter

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/spotserve/spotserve/platform/store"
)

// settingsOf is all that makes runs of one subject comparable.
func settingsOf(run store.Run) string {
	return run.Arrivals + "\x00" + run.Quirks + "\x00" + run.Settings
}

// named names each group by arrivals and quirks, and by the further settings
// in which the groups differ.
func named(groups []group) []group {
	values := map[string]map[string]bool{} // of each setting; "" where a group lacks it
	for _, g := range groups {
		for key := range settings(g.runs[0]) {
			values[key] = map[string]bool{}
		}
	}
	for key, seen := range values {
		for _, g := range groups {
			seen[settings(g.runs[0])[key]] = true
		}
	}
	out := make([]group, len(groups))
	for i, g := range groups {
		parts := []string{"arrivals " + g.runs[0].Arrivals, "quirks " + g.runs[0].Quirks}
		for _, key := range slices.Sorted(maps.Keys(values)) {
			if len(values[key]) > 1 {
				parts = append(parts, key+" "+cmp.Or(settings(g.runs[0])[key], "unset"))
			}
		}
		out[i] = group{strings.Join(parts, ", "), g.runs}
	}
	return out
}

// settings are the further settings of a run by their names.
func settings(run store.Run) map[string]string {
	if run.Settings == "" {
		return nil
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal([]byte(run.Settings), &raw); err != nil {
		return map[string]string{"settings": run.Settings}
	}
	out := make(map[string]string, len(raw))
	for key, value := range raw {
		out[key] = string(value)
	}
	return out
}
