package catalog

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/vtime"
)

// ReadAvailability reads a trace in the artifact's format, one event a line:
//
//	[0, "add", {"nodes": ["node-0", "node-1"]}]
//	[300000, "other", {"nodes": [], "required_tpt": 0.8}]
//	[600000, "remove", {"nodes": ["node-1"], "required_tpt": 0.6}]
//	[1020000, "DONE", {"nodes": []}]
//
// The first value is the time in milliseconds, required_tpt is in requests/s.
// Everything else is refused by a FileError with its line.
func ReadAvailability(name string, r io.Reader) (Availability, error) {
	h := newHistory()
	var trace Availability
	done := false
	err := eachLine(name, r, func(line string) error {
		if done {
			return errors.New("an event follows DONE")
		}
		verb, change, err := parseEvent([]byte(line))
		if err != nil {
			return err
		}
		if verb != "DONE" {
			return h.apply(change)
		}
		if len(change.Nodes) > 0 || change.RequiredThroughput != 0 {
			return errors.New("DONE has neither nodes nor required_tpt")
		}
		done = true
		trace, err = h.finish(name, change.At)
		return err
	})
	if err != nil {
		return Availability{}, err
	}
	if !done {
		return Availability{}, &FileError{File: name, Reason: "DONE is missing: the trace has no end"}
	}
	return trace, nil
}

// verbs maps the artifact's verbs to kinds of changes; DONE is none.
var verbs = map[string]experiment.ChangeKind{
	"add":    experiment.Add,
	"remove": experiment.Remove,
	"other":  experiment.Throughput,
	"DONE":   "",
}

func parseEvent(line []byte) (verb string, change FleetChange, err error) {
	parts, err := decodeJSON[[]json.RawMessage](line)
	if err != nil || len(parts) != 3 {
		return "", change, fmt.Errorf("the line is not [milliseconds, verb, {nodes}]%s", because(err))
	}
	ms, err := decodeJSON[int64](parts[0])
	if err != nil {
		return "", change, fmt.Errorf("the time is not whole milliseconds%s", because(err))
	}
	if change.At, err = milliseconds(ms); err != nil {
		return "", change, err
	}
	if verb, err = decodeJSON[string](parts[1]); err != nil {
		return "", change, fmt.Errorf("the verb is not a string%s", because(err))
	}
	kind, ok := verbs[verb]
	if !ok {
		return "", change, refuseUnknown("verb", verb, []string{"add", "remove", "other", "DONE"})
	}
	change.Kind = kind
	err = parseDetails(parts[2], &change)
	return verb, change, err
}

func parseDetails(raw []byte, change *FleetChange) error {
	fields, err := jsonObject(raw)
	if err != nil {
		return fmt.Errorf("the third value is not {nodes}%s", because(err))
	}
	named := false
	for _, field := range fields {
		switch field.key {
		case "nodes":
			named = true
			if change.Nodes, err = decodeJSON[[]string](field.value); err != nil {
				return fmt.Errorf("nodes is not a list of names%s", because(err))
			}
		case "required_tpt":
			if change.RequiredThroughput, err = decodeJSON[float64](field.value); err != nil {
				return fmt.Errorf("required_tpt is not a number%s", because(err))
			}
			if change.RequiredThroughput == 0 {
				return errors.New("required_tpt is 0, it must be positive")
			}
		default:
			return errors.New(unknownKey(field.key, []string{"nodes", "required_tpt"}))
		}
	}
	if !named {
		return errors.New("nodes is missing")
	}
	return nil
}

// ReadAvailabilityCSV reads a trace with one node a row and no end of its own:
//
//	480000,add,node1
//	1440000,remove,node13
//
// Rows of the same instant and verb that follow each other are one change. The
// trace ends with its last row.
func ReadAvailabilityCSV(name string, r io.Reader) (Availability, error) {
	trace, err := readAvailabilityCSV(name, r)
	if err == nil && trace.End == 0 {
		return Availability{}, &FileError{File: name, Reason: "the trace ends at its start"}
	}
	return trace, err
}

// readAvailabilityCSV lets the trace end at its start: its end may come from
// elsewhere.
func readAvailabilityCSV(name string, r io.Reader) (Availability, error) {
	h := newHistory()
	err := eachLine(name, r, func(line string) error {
		change, err := parseRow(line)
		if err != nil {
			return err
		}
		return h.apply(change)
	})
	if err != nil {
		return Availability{}, err
	}
	return Availability{Name: name, Changes: merge(h.changes), End: h.last}, nil
}

func parseRow(line string) (FleetChange, error) {
	columns := strings.Split(line, ",")
	if len(columns) != 3 {
		return FleetChange{}, fmt.Errorf("the row has %d columns, want milliseconds,verb,node", len(columns))
	}
	ms, err := strconv.ParseInt(columns[0], 10, 64)
	if err != nil {
		return FleetChange{}, fmt.Errorf("the time %q is not whole milliseconds", columns[0])
	}
	at, err := milliseconds(ms)
	if err != nil {
		return FleetChange{}, err
	}
	kind, ok := verbs[columns[1]]
	if !ok || kind != experiment.Add && kind != experiment.Remove {
		return FleetChange{}, refuseUnknown("verb", columns[1], []string{"add", "remove"})
	}
	return FleetChange{At: at, Kind: kind, Nodes: []string{columns[2]}}, nil
}

// merge joins neighbouring changes of the same instant and kind.
func merge(changes []FleetChange) []FleetChange {
	var out []FleetChange
	for _, c := range changes {
		if n := len(out) - 1; n >= 0 && out[n].At == c.At && out[n].Kind == c.Kind {
			out[n].Nodes = append(out[n].Nodes, c.Nodes...)
			continue
		}
		out = append(out, c)
	}
	return out
}

// milliseconds converts a file's milliseconds.
func milliseconds(ms int64) (vtime.Time, error) {
	const limit = int64(maxTrace) / int64(time.Millisecond)
	if ms < 0 || ms > limit {
		return 0, fmt.Errorf("time is %d ms, allowed is 0 to %d", ms, limit)
	}
	return vtime.Time(ms * int64(time.Millisecond)), nil
}

// because appends the library's reason, if there is one.
func because(err error) string {
	if err == nil {
		return ""
	}
	return ": " + err.Error()
}
