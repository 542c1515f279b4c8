package assign_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/spotserve/spotserve/core/assign"
	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/draw"
	"github.com/spotserve/spotserve/core/migrate"
	"github.com/spotserve/spotserve/core/topology"
)

// scenario is a request on nodes of equal size, made by chance.
type scenario struct {
	assign.Request
	geometry    migrate.Geometry
	nodes, gpus int
}

// randomScenario has old's positions on nodes in any order, and often on the
// GPUs of a node in any order; some nodes are gone, some new, some GPUs
// know nothing; and some new pipelines inherit a batch.
func randomScenario(r *rand.Rand, most int) scenario {
	s := scenario{geometry: geometry, gpus: 1 << r.IntN(4)}
	for {
		s.nodes = 1 + r.IntN(most)
		s.Config = config(1+r.IntN(most), 1+r.IntN(4), 1<<r.IntN(4))
		if s.Config.Devices() <= s.nodes*s.gpus {
			break
		}
	}
	old := s.Config
	if r.IntN(3) > 0 {
		old = config(1+r.IntN(most), 1+r.IntN(4), 1<<r.IntN(4))
	}
	held := gpus(s.gpus, r.Perm((old.Devices()+s.gpus-1)/s.gpus)...)
	if r.IntN(2) == 0 {
		for node := range slices.Chunk(held, s.gpus) {
			r.Shuffle(s.gpus, func(i, j int) { node[i], node[j] = node[j], node[i] })
		}
	}
	s.Held = holdIn(old, held)
	for _, d := range held {
		if r.IntN(10) == 0 {
			s.Held.Forget(d)
		}
	}
	s.Devices = gpus(s.gpus, r.Perm(s.nodes + r.IntN(2))[:s.nodes]...)
	for to := range s.Config.Data {
		if r.IntN(2) == 0 {
			s.Inherit = append(s.Inherit, migrate.Inheritance{From: r.IntN(old.Data), To: to, Tokens: r.IntN(300)})
		}
	}
	return s
}

// pairs is the naive account of what every group of positions keeps on every
// node, and behind it, below a thousandth of a byte, of the devices that stay;
// best is a solver of either level.
func (s scenario) pairs(best func([][]int64) int64) [][]int64 {
	devices := slices.SortedFunc(slices.Values(s.Devices), topology.Device.Compare)
	var out [][]int64
	for first := 0; first < s.Config.Devices(); first += s.gpus {
		var row []int64
		for node := range slices.Chunk(devices, s.gpus) {
			var inside [][]int64
			for rank := first; rank < min(first+s.gpus, s.Config.Devices()); rank++ {
				var keeps []int64
				p := topology.PositionOf(s.Config, rank)
				for _, d := range node {
					kept := 1000 * assign.KeptBytes(s.Request, []topology.Placement{{Device: d, Position: p}}, s.geometry)
					if s.stays(topology.Placement{Device: d, Position: p}) {
						kept++
					}
					keeps = append(keeps, kept)
				}
				inside = append(inside, keeps)
			}
			row = append(row, best(inside))
		}
		out = append(out, row)
	}
	return out
}

func (s scenario) stays(p topology.Placement) bool {
	was, ok := s.Held.Of(p.Device)
	return ok && was.Pipeline == p.Position.Data && was.Model == s.geometry.Region(s.Config, p.Position)
}

// value is what placements are worth by the measure of pairs.
func (s scenario) value(placements []topology.Placement) int64 {
	value := 1000 * assign.KeptBytes(s.Request, placements, s.geometry)
	for _, p := range placements {
		if s.stays(p) {
			value++
		}
	}
	return value
}

// TestMapIsTheBestOnBothLevels compares with all permutations of nodes over
// groups and of GPUs over positions.
func TestMapIsTheBestOnBothLevels(t *testing.T) {
	r := draw.Stream(3, "scenarios")
	for checked := 0; checked < 1500; {
		s := randomScenario(r, 6)
		if s.gpus > 4 {
			continue
		}
		checked++
		got := mapper.Map(s.Request)
		if value, best := s.value(got), bestOfAll(s.pairs(bestOfAll)); value != best {
			t.Fatalf("%+v: %v is worth %d, want %d", s, got, value, best)
		}
	}
}

// TestMapOfPublishedChanges does the same for GPT-20B as its published runs
// change it, after nodes came or went, with both batches in progress.
func TestMapOfPublishedChanges(t *testing.T) {
	gpt20B := migrate.NewGeometry(cost.Model{Layers: 44, WeightBytes: 74_500_000_000, KVBytesPerToken: 2 * 44 * 6144 * 4}, 8)
	for _, tt := range []struct {
		old, new topology.ParallelConfig
		at       []int
	}{
		{config(2, 3, 4), config(2, 2, 8), []int{0, 1, 2, 3, 4, 5, 6, 7}},
		{config(2, 3, 4), config(2, 2, 8), []int{0, 1, 3, 5, 6, 7, 8, 9}},
		{config(2, 2, 8), config(2, 3, 4), []int{0, 1, 2, 3, 4, 5}},
		{config(2, 2, 8), config(2, 3, 4), []int{1, 2, 3, 4, 6, 7, 8}},
		{config(2, 2, 8), config(2, 2, 8), []int{0, 1, 2, 4, 5, 6, 7, 8}},
	} {
		held := migrate.NewHoldings()
		for rank, d := range gpus(4, 0, 1, 2, 3, 4, 5, 6, 7)[:tt.old.Devices()] {
			p := topology.PositionOf(tt.old, rank)
			held.Put(migrate.Holding{Device: d, Pipeline: p.Data, Model: gpt20B.Region(tt.old, p)})
		}
		s := scenario{geometry: gpt20B, nodes: len(tt.at), gpus: 4, Request: assign.Request{
			Config: tt.new, Devices: gpus(4, tt.at...), Held: held,
			Inherit: []migrate.Inheritance{{From: 1, To: 0, Tokens: 2500}, {From: 0, To: 1, Tokens: 2300}},
		}}
		got := assign.KuhnMunkres{Geometry: gpt20B}.Map(s.Request)
		if value, best := s.value(got), bestOfAll(s.pairs(bestOfAll)); value != best || value == 0 {
			t.Errorf("%s to %s on %v: %v is worth %d, want %d", tt.old, tt.new, tt.at, got, value, best)
		}
	}
}

// TestMapTakesNoShortcut compares larger fleets with a matching of every pair
// of a group and a node by itself.
func TestMapTakesNoShortcut(t *testing.T) {
	r := draw.Stream(4, "scenarios")
	best := func(weights [][]int64) int64 { return sumOf(t, weights, assign.MaxWeight(weights)) }
	for range 200 {
		s := randomScenario(r, 40)
		got := mapper.Map(s.Request)
		if value, want := s.value(got), best(s.pairs(best)); value != want {
			t.Fatalf("%+v: %v is worth %d, want %d", s, got, value, want)
		}
	}
}

func TestMapIsDeterministic(t *testing.T) {
	r := draw.Stream(5, "scenarios")
	for range 300 {
		s := randomScenario(r, 12)
		before := slices.Clone(s.Devices)
		got := mapper.Map(s.Request)
		if !slices.Equal(before, s.Devices) {
			t.Fatal("the caller's devices changed order")
		}
		r.Shuffle(len(s.Devices), func(i, j int) { s.Devices[i], s.Devices[j] = s.Devices[j], s.Devices[i] })
		r.Shuffle(len(s.Inherit), func(i, j int) { s.Inherit[i], s.Inherit[j] = s.Inherit[j], s.Inherit[i] })
		if again := mapper.Map(s.Request); !slices.Equal(got, again) {
			t.Fatalf("%+v: %v, in another order %v", s, got, again)
		}
	}
}

// TestMapKeepsNoLessThanRankOrder: rank order is one of the mappings to choose
// from wherever it fills nodes whole.
func TestMapKeepsNoLessThanRankOrder(t *testing.T) {
	r := draw.Stream(6, "scenarios")
	more := 0
	for checked := 0; checked < 2000; {
		s := randomScenario(r, 10)
		byRank := (assign.RankOrder{}).Map(s.Request)
		if !fillsNodes(byRank, s.gpus) {
			continue
		}
		checked++
		kept := assign.KeptBytes(s.Request, mapper.Map(s.Request), geometry)
		least := assign.KeptBytes(s.Request, byRank, geometry)
		if kept < least {
			t.Fatalf("%+v: keeps %d bytes, rank order %d", s, kept, least)
		}
		if kept > least {
			more++
		}
	}
	if more < 500 {
		t.Errorf("keeps more than rank order in %d of 2000 scenarios only", more)
	}
}

func fillsNodes(placements []topology.Placement, gpus int) bool {
	for part := range slices.Chunk(placements, gpus) {
		for _, p := range part {
			if p.Device.Node != part[0].Device.Node {
				return false
			}
		}
	}
	return true
}

func TestMapOfNothingHeldIsRankOrder(t *testing.T) {
	r := draw.Stream(7, "scenarios")
	for range 300 {
		s := randomScenario(r, 20)
		s.Held = migrate.NewHoldings()
		if got, want := mapper.Map(s.Request), (assign.RankOrder{}).Map(s.Request); !slices.Equal(got, want) {
			t.Fatalf("%s on %d nodes of %d: %v, want %v", s.Config, s.nodes, s.gpus, got, want)
		}
	}
}

// TestMapKeepsTensorGroupsTogether draws fleets of nodes of all sizes. As many
// tensor-parallel groups as there is room for whole are on one node each; on
// nodes of equal size, the others span no more nodes than they must.
func TestMapKeepsTensorGroupsTogether(t *testing.T) {
	r := draw.Stream(8, "fleets")
	for range 3000 {
		c := config(1+r.IntN(4), 1+r.IntN(4), 1<<r.IntN(4))
		equal := 1 << r.IntN(4)
		mixed := r.IntN(2) == 0
		var devices []topology.Device
		whole := 0
		for node := 0; len(devices) < c.Devices() || r.IntN(3) == 0; node++ {
			n := equal
			if mixed {
				n = 1 + r.IntN(12)
			}
			devices = append(devices, gpus(n, node)...)
			whole += n / c.Tensor
		}
		held := slices.Clone(devices)
		r.Shuffle(len(held), func(i, j int) { held[i], held[j] = held[j], held[i] })
		together := 0
		got := mapper.Map(assign.Request{Config: c, Devices: devices, Held: holdIn(c, held)})
		checkPlacements(t, c, got)
		for shards := range slices.Chunk(got, c.Tensor) {
			nodes := make(map[string]bool)
			for _, p := range shards {
				nodes[p.Device.Node] = true
			}
			if len(nodes) == 1 {
				together++
			}
			if least := (c.Tensor + equal - 1) / equal; !mixed && len(nodes) != least {
				t.Fatalf("%s on nodes of %d: %v span %d nodes, want %d", c, equal, shards, len(nodes), least)
			}
		}
		if want := min(whole, c.Data*c.Pipeline); together != want {
			t.Fatalf("%s on %v: %d groups are on one node, %d could", c, devices, together, want)
		}
	}
}

func checkPlacements(t *testing.T, c topology.ParallelConfig, placements []topology.Placement) {
	t.Helper()
	if len(placements) != c.Devices() {
		t.Fatalf("%s: %d placements", c, len(placements))
	}
	seen := make(map[topology.Device]bool)
	for rank, p := range placements {
		if p.Device.Node == "" || seen[p.Device] || p.Position != topology.PositionOf(c, rank) {
			t.Fatalf("%s: %+v at rank %d", c, p, rank)
		}
		seen[p.Device] = true
	}
}

// TestMapFillsScarceLargeNodesBest: there are fewer nodes with room for a whole
// tensor-parallel group than groups, so the nodes choose among the groups.
func TestMapFillsScarceLargeNodesBest(t *testing.T) {
	r := draw.Stream(9, "fleets")
	for range 500 {
		c := config(1+r.IntN(6), 2+r.IntN(3), 8)
		large := 1 + r.IntN(c.Data*c.Pipeline-1)
		s := scenario{geometry: geometry, gpus: 8, nodes: large}
		s.Config = c
		s.Devices = gpus(8, r.Perm(large)...)
		old := config(1+r.IntN(6), 1+r.IntN(4), 1<<r.IntN(4))
		s.Held = holdIn(old, gpus(8, r.Perm(24)...))
		for to := range c.Data {
			s.Inherit = append(s.Inherit, migrate.Inheritance{From: r.IntN(old.Data), To: to, Tokens: r.IntN(300)})
		}
		best := func(weights [][]int64) int64 { return sumOf(t, weights, assign.MaxWeight(weights)) }
		pairs := s.pairs(best)
		byNode := make([][]int64, large)
		for i := range byNode {
			for _, row := range pairs {
				byNode[i] = append(byNode[i], row[i])
			}
		}
		for small := 100; len(s.Devices) < c.Devices(); small++ {
			s.Devices = append(s.Devices, gpus(4, small)...)
		}
		got := mapper.Map(s.Request)
		checkPlacements(t, c, got)
		if value, want := s.value(got), best(byNode); value != want {
			t.Fatalf("%+v: %v is worth %d, want %d", s, got, value, want)
		}
	}
}

func TestMapRefusesWhatCannotBe(t *testing.T) {
	for name, r := range map[string]assign.Request{
		"no configuration":       {Devices: gpus(4, 1)},
		"too few devices":        {Config: config(2, 1, 4), Devices: gpus(4, 1)},
		"negative degrees":       {Config: config(-1, -1, 1), Devices: gpus(4, 1)},
		"negative tensor degree": {Config: config(1, -1, -1), Devices: gpus(4, 1)},
	} {
		r.Held = migrate.NewHoldings()
		if got := mapper.Map(r); got != nil {
			t.Errorf("%s: %v, want none", name, got)
		}
	}
	// Tokens of less than nothing count as none.
	r := assign.Request{
		Config: config(1, 1, 4), Devices: gpus(4, 1, 2), Held: holdIn(config(2, 1, 4), gpus(4, 1, 2)),
		Inherit: []migrate.Inheritance{{From: 0, To: 0, Tokens: -1000}},
	}
	if nodes := nodesOf(t, mapper.Map(r), 4); nodes[0] != 1 {
		t.Errorf("an empty batch moves its pipeline to node %d", nodes[0])
	}
}
