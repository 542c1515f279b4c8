package bus_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/platform/bus"
)

func TestStreamOf(t *testing.T) {
	tests := []struct {
		subject string
		want    bus.Stream // empty: refused
	}{
		{"spot.control.experiment.start", bus.Control},
		{"spot.run.e2e-7.fleet.instance_lost", bus.Runs},
		{"spot.run.x", bus.Runs},
		{"spot.run", ""},
		{"spot.running.x", ""},
		{"other.run.x", ""},
		{"", ""},
		{"spot.run.", ""},
		{".spot.run.x", ""},
		{"spot.run..x", ""},
		{"spot.run.a b", ""},
		{"spot.run.a\n", ""},
		{"spot.run.*", ""},
		{"spot.run.>", ""},
		{"spot.run.a*b", ""},
	}
	for _, tt := range tests {
		got, err := bus.StreamOf(tt.subject)
		if got != tt.want || (tt.want == "") != errors.Is(err, bus.ErrSubject) {
			t.Errorf("StreamOf(%q) = %q, %v; want %q", tt.subject, got, err, tt.want)
		}
	}
}

func TestCheckFilters(t *testing.T) {
	tests := []struct {
		stream  bus.Stream
		filters []string
		ok      bool
	}{
		{bus.Runs, nil, true},
		{bus.Runs, []string{"spot.run.>"}, true},
		{bus.Runs, []string{"spot.run.r.fleet.>", "spot.run.r.worker.*.fact.>"}, true},
		{bus.Runs, []string{"spot.run.*.a", "spot.run.*.b"}, true},
		{bus.Runs, []string{"spot.run.*", "spot.run.*.*"}, true},
		{bus.Runs, []string{"spot.run.a", "spot.run.a"}, false},
		{bus.Runs, []string{"spot.run.a.>", "spot.run.a.b"}, false},
		{bus.Runs, []string{"spot.run.*.b", "spot.run.a.*"}, false},
		{bus.Runs, []string{"spot.control.>"}, false},
		{bus.Runs, []string{">"}, false},
		{bus.Runs, []string{"spot.*.a"}, false},
		{bus.Runs, []string{"spot.run.a*"}, false},
		{bus.Runs, []string{"spot.run.>.a"}, false},
		{bus.Runs, []string{"spot.run..a"}, false},
		{bus.Runs, []string{""}, false},
		{"SPOT_OTHER", nil, false},
	}
	for _, tt := range tests {
		err := bus.CheckFilters(tt.stream, tt.filters)
		if (err == nil) != tt.ok || err != nil && !errors.Is(err, bus.ErrSubject) {
			t.Errorf("CheckFilters(%s, %q) = %v; want ok %v", tt.stream, tt.filters, err, tt.ok)
		}
	}
}

func TestCheckDurable(t *testing.T) {
	for name, ok := range map[string]bool{"collector": true, "run-7_b": true, "": false, "a.b": false, "a b": false, "a*": false, "a/b": false} {
		if err := bus.CheckDurable(name); (err == nil) != ok {
			t.Errorf("CheckDurable(%q) = %v; want ok %v", name, err, ok)
		}
	}
}

func TestMatch(t *testing.T) {
	tests := []struct {
		filter, subject string
		want            bool
	}{
		{"a.b", "a.b", true},
		{"a.b", "a.c", false},
		{"a.b", "a", false},
		{"a", "a.b", false},
		{"a.*", "a.b", true},
		{"a.*", "a", false},
		{"a.*", "a.b.c", false},
		{"*.b", "a.b", true},
		{"a.*.c", "a.b.c", true},
		{"a.>", "a.b", true},
		{"a.>", "a.b.c", true},
		{"a.>", "a", false},
		{">", "a", true},
		{"a.*.>", "a.b", false},
		{"a.*.>", "a.b.c", true},
	}
	for _, tt := range tests {
		if got := bus.Match(tt.filter, tt.subject); got != tt.want {
			t.Errorf("Match(%q, %q) = %v; want %v", tt.filter, tt.subject, got, tt.want)
		}
	}
}

// FuzzMatch holds Match to the definition of the wildcards, token by token.
func FuzzMatch(f *testing.F) {
	f.Add("spot.run.*.fact.>", "spot.run.w.fact.batch")
	f.Add(">", "a")
	f.Add("a.>", "a")
	f.Add("*", "a.b")
	f.Add("", "")
	f.Fuzz(func(t *testing.T, filter, subject string) {
		if got, want := bus.Match(filter, subject), matchTokens(strings.Split(filter, "."), strings.Split(subject, ".")); got != want {
			t.Errorf("Match(%q, %q) = %v; want %v", filter, subject, got, want)
		}
	})
}

func matchTokens(filter, subject []string) bool {
	switch {
	case len(filter) == 1 && filter[0] == ">":
		return len(subject) > 0
	case len(filter) == 0 || len(subject) == 0:
		return len(filter) == len(subject)
	case filter[0] != "*" && filter[0] != subject[0]:
		return false
	}
	return matchTokens(filter[1:], subject[1:])
}
