package fleet_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/fleet"
	"github.com/spotserve/spotserve/core/topology"
	"github.com/spotserve/spotserve/core/vtime"
)

var a = []experiment.Instance{{Node: "a", Market: cost.Spot, GPUs: 2}}

// script is what happens to node a; each step is one of the verbs below.
func play(t *testing.T, script string) (m *fleet.InstanceManager, stays []fleet.Stay) {
	t.Helper()
	m = fleet.NewInstanceManager()
	for step := range strings.FieldsSeq(script) {
		var at int
		verb, when, _ := strings.Cut(step, "@")
		if _, err := fmt.Sscan(when, &at); err != nil {
			t.Fatalf("step %q: %v", step, err)
		}
		now := vtime.Time(at)
		switch verb {
		case "launch":
			m.Launch(a, now)
		case "announce":
			m.Announce(a, now)
		case "join":
			m.Join(a, now)
		case "notice":
			m.Notice([]string{"a"}, now)
		case "lose":
			stays = append(stays, m.Lose([]string{"a"}, now)...)
		default:
			t.Fatalf("unknown step %q", step)
		}
	}
	return m, stays
}

func TestLifeCycle(t *testing.T) {
	for _, tt := range []struct {
		name   string
		script string
		state  fleet.State // Gone if the manager knows of no node
		leaves vtime.Time
	}{
		{"unknown", "", fleet.Gone, 0},
		{"launched", "launch@40", fleet.Requested, vtime.Never},
		{"launched, then announced", "launch@40 announce@40", fleet.Booting, vtime.Never},
		{"launched, then here without notice", "launch@40 join@40", fleet.Ready, vtime.Never},
		{"launched and given back", "launch@40 notice@5 lose@6", fleet.Gone, 0},
		{"launched and doomed", "launch@40 notice@50 join@40", fleet.GracePeriod, 50},
		{"here before it is launched", "join@0 launch@40", fleet.Ready, vtime.Never},
		{"announced", "announce@10", fleet.Booting, vtime.Never},
		{"joined as announced", "announce@10 join@10", fleet.Ready, vtime.Never},
		{"joined without notice", "join@10", fleet.Ready, vtime.Never},
		{"noticed", "join@0 notice@30", fleet.GracePeriod, 30},
		{"noticed twice: the earlier counts", "join@0 notice@30 notice@20", fleet.GracePeriod, 20},
		{"noticed twice: the later does not", "join@0 notice@20 notice@30", fleet.GracePeriod, 20},
		{"noticed before it joined", "announce@10 notice@30", fleet.Booting, 30},
		{"joined under notice", "announce@10 notice@30 join@10", fleet.GracePeriod, 30},
		{"gone as noticed", "join@0 notice@30 lose@30", fleet.Gone, 0},
		{"gone without notice", "join@0 lose@5", fleet.Gone, 0},
		{"gone before it joined", "announce@10 lose@5", fleet.Gone, 0},
		{"back again, the old notice forgotten", "join@0 notice@30 lose@30 join@40", fleet.Ready, vtime.Never},
		{"announced again", "join@0 lose@30 announce@50", fleet.Booting, vtime.Never},
		{"announced though it is here", "join@0 announce@50", fleet.Ready, vtime.Never},
		{"noticed though it is unknown", "notice@30", fleet.Gone, 0},
		{"noticed after it has gone", "join@0 lose@5 notice@30", fleet.Gone, 0},
		{"lost though it is unknown", "lose@30", fleet.Gone, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, _ := play(t, tt.script)
			all := m.All()
			if tt.state == fleet.Gone {
				if len(all) != 0 {
					t.Fatalf("knows %+v", all)
				}
				return
			}
			if len(all) != 1 || all[0].State != tt.state || all[0].Leaves != tt.leaves {
				t.Errorf("%+v, want %s that leaves at %s", all, tt.state, tt.leaves)
			}
		})
	}
}

func TestStaysArePaidFromJoiningToGoing(t *testing.T) {
	stay := func(from, to vtime.Time) fleet.Stay {
		return fleet.Stay{Node: "a", Market: cost.Spot, From: from, To: to}
	}
	for script, want := range map[string][]fleet.Stay{
		"join@0 notice@30 lose@30":               {stay(0, 30)},
		"announce@10 join@12 lose@20":            {stay(12, 20)},
		"announce@10 lose@5":                     nil, // it never came
		"join@0 join@10 lose@20":                 {stay(0, 20)},
		"join@0 lose@10 lose@20":                 {stay(0, 10)},
		"join@0 lose@10 join@20 lose@30":         {stay(0, 10), stay(20, 30)},
		"join@0 lose@10 join@20":                 {stay(0, 10), stay(20, 99)}, // open at the end
		"join@0 lose@10 join@20 notice@40":       {stay(0, 10), stay(20, 40)}, // not paid beyond its deadline
		"join@0 notice@30 lose@45":               {stay(0, 30)},
		"join@0 lose@10 announce@200":            {stay(0, 10)},
		"announce@10 notice@30 join@10 lose@30 ": {stay(10, 30)},
	} {
		m, stays := play(t, script)
		if got := slices.Concat(stays, m.Close(99)); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v", script, got, want)
		}
	}
}

func TestViewsOfTheFleet(t *testing.T) {
	m := fleet.NewInstanceManager()
	node := func(name string) []experiment.Instance {
		return []experiment.Instance{{Node: name, Market: cost.OnDemand, GPUs: 2}}
	}
	m.Join(node("node-10"), 0)
	m.Join(node("node-2"), 0)
	m.Join(node("node-3"), 0)
	m.Notice([]string{"node-3"}, 40)
	m.Announce(node("node-4"), 20)
	m.Announce(node("node-5"), 30)
	m.Announce(node("node-6"), 20)
	m.Notice([]string{"node-6"}, 50) // will not stay
	names := func(nodes []fleet.Node) []string {
		var out []string
		for _, n := range nodes {
			out = append(out, n.Name)
		}
		return out
	}
	for _, tt := range []struct {
		view      string
		got, want []string
	}{
		{"all", names(m.All()), []string{"node-2", "node-3", "node-4", "node-5", "node-6", "node-10"}},
		{"staying", names(m.Staying()), []string{"node-2", "node-10"}},
		{"expected at 19", names(m.Expected(19)), []string{"node-2", "node-10"}},
		{"expected at 20", names(m.Expected(20)), []string{"node-2", "node-4", "node-10"}},
		{"expected at 30", names(m.Expected(30)), []string{"node-2", "node-4", "node-5", "node-10"}},
		{"present", m.Present(), []string{"node-2", "node-3", "node-10"}},
	} {
		if !slices.Equal(tt.got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.view, tt.got, tt.want)
		}
	}
	if got, want := m.Leaving(), map[string]vtime.Time{"node-3": 40}; !reflect.DeepEqual(got, want) {
		t.Errorf("leaving %v, want %v", got, want)
	}
	devices := []topology.Device{
		{Node: "node-2", GPU: 0}, {Node: "node-2", GPU: 1}, {Node: "node-10", GPU: 0}, {Node: "node-10", GPU: 1},
	}
	if got := fleet.Devices(m.Staying()); !slices.Equal(got, devices) {
		t.Errorf("devices %v, want %v", got, devices)
	}
}

func TestChangesAreReportedOnce(t *testing.T) {
	m := fleet.NewInstanceManager()
	if got := m.Join(a, 0); !slices.Equal(got, []string{"a"}) {
		t.Errorf("joined %v", got)
	}
	if got := m.Join(a, 1); got != nil {
		t.Errorf("joined %v a second time", got)
	}
	if got := m.Notice([]string{"a", "b"}, 30); !slices.Equal(got, []string{"a"}) {
		t.Errorf("noticed %v", got)
	}
	if got := m.Notice([]string{"a"}, 30); got != nil {
		t.Errorf("noticed %v a second time", got)
	}
}
