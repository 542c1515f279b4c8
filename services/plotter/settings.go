package plotter

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spotserve/spotserve/platform/store"
)

// settingsOf is all that makes runs of one subject comparable.
func settingsOf(run store.Run) string {
	return run.Arrivals + "\x00" + run.Quirks + "\x00" + run.Settings
}

// settingsOfAllModels is what makes runs of different models comparable: all
// settings but how much is asked of a model and how fast it is.
func settingsOfAllModels(run store.Run) string {
	ofModel := []string{"arrival_rate_rps", "required_throughput_rps", "headroom", "profile"}
	var b strings.Builder
	for _, s := range SettingsOf(run) {
		if !slices.Contains(ofModel, s.Key) {
			b.WriteString(s.Key + "\x00" + s.Value + "\x00")
		}
	}
	return b.String()
}

// SameSettings tells whether runs may be drawn together, if they are of one
// subject: arrivals, quirks and all further settings are the same.
func SameSettings(a, b store.Run) bool { return settingsOf(a) == settingsOf(b) }

// Setting is a setting of a run.
type Setting struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// SettingsOf returns the settings of a run in a fixed order: arrivals, quirks,
// then the further ones, without the point of a sweep, which SweepOf returns.
func SettingsOf(run store.Run) []Setting {
	all := []Setting{{"arrivals", run.Arrivals}, {"quirks", run.Quirks}}
	for _, s := range members([]byte(run.Settings)) {
		if s.Key != sweepKey {
			all = append(all, Setting{s.Key, unquoted(s.Value)})
		}
	}
	return all
}

// SweepOf returns the point of a sweep that a run is, in the order of the
// sweep's keys; nothing for a run of no sweep.
func SweepOf(run store.Run) []Setting {
	var point []Setting
	for _, s := range members([]byte(settings(run)[sweepKey])) {
		point = append(point, Setting{s.Key, unquoted(s.Value)})
	}
	return point
}

// sweepKey is the setting that holds the point of a sweep.
const sweepKey = "sweep"

// members returns the members of a JSON object in their order, with values as
// JSON; nothing for what is none.
func members(object []byte) []Setting {
	d := json.NewDecoder(bytes.NewReader(object))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return nil
	}
	var all []Setting
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil
		}
		all = append(all, Setting{fmt.Sprint(key), string(value)})
	}
	return all
}

// unquoted is the text of a JSON value: a string without quotes.
func unquoted(value string) string {
	var text string
	if json.Unmarshal([]byte(value), &text) == nil {
		return text
	}
	return value
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
