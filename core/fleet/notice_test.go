package fleet_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/draw"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/fleet"
	"github.com/spotserve/spotserve/core/vtime"
)

func spot(nodes ...string) (out []experiment.Instance) {
	for _, n := range nodes {
		out = append(out, experiment.Instance{Node: n, Market: cost.Spot, GPUs: 4})
	}
	return out
}

// TestCancel: a node whose notice is taken back is as it was before; one that is
// gone, or was never noticed, is left alone.
func TestCancel(t *testing.T) {
	m := fleet.NewInstanceManager()
	m.Join(spot("a", "b", "c"), 0)
	m.Announce(spot("d"), vtime.Seconds(50))
	m.Notice([]string{"a", "c", "d"}, vtime.Seconds(30))
	m.Lose([]string{"c"}, vtime.Seconds(10))
	if got, want := m.Cancel([]string{"a", "b", "c", "d", "nobody"}), []string{"a", "d"}; !slices.Equal(got, want) {
		t.Errorf("stay %v, want %v", got, want)
	}
	if got := m.Cancel([]string{"a", "d"}); len(got) != 0 {
		t.Errorf("cancelled a second time: %v", got)
	}
	if got := m.Leaving(); len(got) != 0 {
		t.Errorf("leaving are %v", got)
	}
	m.Join(spot("d"), vtime.Seconds(50))
	if got := names(m.Staying()); !slices.Equal(got, []string{"a", "b", "d"}) {
		t.Errorf("staying are %v, want a, b and d", got)
	}
	// The stay goes on to its end, not to the deadline that was.
	for _, stay := range m.Close(vtime.Seconds(100)) {
		if stay.To != vtime.Seconds(100) {
			t.Errorf("%s is paid until %s, want 100 s", stay.Node, stay.To)
		}
	}
	if got := m.Notice([]string{"a"}, vtime.Seconds(200)); !slices.Equal(got, []string{"a"}) {
		t.Errorf("noticed again are %v, want a", got)
	}
}

func names(nodes []fleet.Node) (out []string) {
	for _, n := range nodes {
		out = append(out, n.Name)
	}
	return out
}

// TestRecommendLastsAsLongAsTheNode: a node that comes back is another machine.
func TestRecommendLastsAsLongAsTheNode(t *testing.T) {
	m := fleet.NewInstanceManager()
	m.Join(spot("a", "b"), 0)
	m.Recommend([]string{"a", "nobody"})
	if nodes := m.Staying(); !nodes[0].AtRisk || nodes[1].AtRisk {
		t.Errorf("%+v, want a at risk", nodes)
	}
	m.Lose([]string{"a"}, vtime.Seconds(10))
	m.Join(spot("a"), vtime.Seconds(20))
	if nodes := m.Staying(); nodes[0].AtRisk {
		t.Errorf("%+v: a has come back, and is at no risk that we know of", nodes)
	}
}

func TestWithoutRisk(t *testing.T) {
	for _, tt := range []struct {
		nodes string // with an exclamation mark: at risk; all have 4 GPUs
		gpus  int
		want  string
	}{
		{"a b c", 4, "a b c"},
		{"a! b c", 8, "b c"},
		{"a! b c", 9, "a! b c"},
		{"a! b! c", 4, "c"},
		{"a! b! c", 8, "a! c"},
		{"a! b! c!", 12, "a! b! c!"},
		{"a! b!", 0, ""},
		{"", 0, ""},
	} {
		var nodes []fleet.Node
		for name := range strings.FieldsSeq(tt.nodes) {
			nodes = append(nodes, fleet.Node{Name: name, GPUs: 4, AtRisk: strings.HasSuffix(name, "!")})
		}
		if got := strings.Join(names(fleet.WithoutRisk(nodes, tt.gpus)), " "); got != tt.want {
			t.Errorf("%d GPUs of %q: %q, want %q", tt.gpus, tt.nodes, got, tt.want)
		}
	}
}

// TestWithoutRiskLeavesEnough, keeps the order, leaves nobody out who is safe,
// and keeps nobody at risk who could go.
func TestWithoutRiskLeavesEnough(t *testing.T) {
	r := draw.Stream(1, "risk")
	for range 20_000 {
		var nodes []fleet.Node
		all := 0
		for i := range r.IntN(8) {
			nodes = append(nodes, fleet.Node{Name: fmt.Sprintf("node-%d", i), GPUs: 1 + r.IntN(8), AtRisk: r.IntN(2) == 0})
			all += nodes[i].GPUs
		}
		need := r.IntN(all + 1)
		got := fleet.WithoutRisk(nodes, need)
		have, at := 0, 0
		for _, n := range nodes {
			switch {
			case at < len(got) && got[at] == n:
				have += n.GPUs
				at++
			case !n.AtRisk:
				t.Fatalf("%+v, %d: %s is safe and left out", nodes, need, n.Name)
			}
		}
		if have < need || at != len(got) {
			t.Fatalf("%+v, %d: got %+v", nodes, need, got)
		}
		for _, n := range got {
			if n.AtRisk && have-n.GPUs >= need {
				t.Fatalf("%+v, %d: got %+v, but %s could go", nodes, need, got, n.Name)
			}
		}
	}
}
