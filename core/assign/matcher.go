package assign

import (
	"encoding/binary"
	"slices"
	"sort"

	"github.com/spotserve/spotserve/core/migrate"
	"github.com/spotserve/spotserve/core/topology"
)

// matcher fills the placements of one request.
type matcher struct {
	geometry   migrate.Geometry
	config     topology.ParallelConfig
	regions    []migrate.Region     // of each rank
	placements []topology.Placement // of each rank; no device yet is the zero one

	outer solver // groups and slots
	inner solver // positions of a group and devices of a slot
}

func newMatcher(g migrate.Geometry, c topology.ParallelConfig) *matcher {
	n := c.Devices()
	m := &matcher{geometry: g, config: c, regions: make([]migrate.Region, n), placements: make([]topology.Placement, n)}
	for rank := range n {
		p := topology.PositionOf(c, rank)
		m.regions[rank] = g.Region(c, p)
		m.placements[rank].Position = p
	}
	return m
}

// place gives as many groups as there are slots the slots in which they keep
// most, and returns the groups that got none.
func (m *matcher) place(groups []group, slots [][]device) []group {
	if len(slots) == 0 {
		return groups
	}
	m.score(groups, slots)
	var rest []group
	for i, j := range m.outer.solve() {
		g := groups[i]
		if j >= len(slots) {
			rest = append(rest, g)
			continue
		}
		m.match(g, slots[j])
		for k, column := range m.inner.columnOf {
			m.placements[g.first+k].Device = slots[j][column].Device
		}
	}
	return rest
}

// idle is nodes without the devices that are placed.
func (m *matcher) idle(nodes [][]device) [][]device {
	busy := make(map[topology.Device]bool, len(m.placements))
	for _, p := range m.placements {
		busy[p.Device] = true
	}
	out := make([][]device, len(nodes))
	for i, n := range nodes {
		out[i] = slices.DeleteFunc(slices.Clone(n), func(d device) bool { return busy[d.Device] })
	}
	return out
}

// score sets the outer problem: what every group keeps in every slot. Where
// there are more groups, as many columns of nothing as are missing stand for no
// slot; all columns are then in use, so no slot stays empty.
//
// A thousand nodes make a million pairs, but few kinds of them: slots that hold
// the same model context keep equally much of groups that want the same, unless
// cache or a device's old place adds to it. So each kind is matched once, and
// then each pair whose pipelines have to do with each other.
func (m *matcher) score(groups []group, slots [][]device) {
	wanted, held := make([][]migrate.Region, len(groups)), make([][]migrate.Region, len(slots))
	for i, g := range groups {
		wanted[i] = m.regions[g.first:g.end]
	}
	for i, s := range slots {
		held[i] = regionsOf(s)
	}
	kind, groupsAlike := kindsOf(wanted)
	_, slotsAlike := kindsOf(held)
	m.outer.reset(len(groups), max(len(groups), len(slots)))
	copy(m.outer.kind, kind)
	for _, gs := range groupsAlike {
		for _, alike := range slotsAlike {
			weight := m.match(groups[gs[0]], strangers(held[alike[0]]))
			for _, g := range gs {
				row := m.outer.row(g)
				for _, s := range alike {
					row[s] = weight
				}
			}
		}
	}
	m.scoreRelatives(groups, slots)
}

// scoreRelatives matches the pairs in which a device worked for a pipeline of
// the group, or has cache for one.
func (m *matcher) scoreRelatives(groups []group, slots [][]device) {
	scored := make([]int, len(groups)) // the last slot, counted from 1, that a group was scored with
	for s, devices := range slots {
		for _, d := range devices {
			for pipeline := range d.relatives {
				first, end := m.groupsOf(pipeline, groups)
				for g := first; g < end; g++ {
					if scored[g] == s+1 {
						continue
					}
					scored[g] = s + 1
					m.outer.row(g)[s] = m.match(groups[g], devices)
					m.outer.extra[g] = append(m.outer.extra[g], s)
				}
			}
		}
	}
}

// groupsOf finds the groups with positions of a pipeline: groups[first:end].
func (m *matcher) groupsOf(pipeline int, groups []group) (first, end int) {
	ranks := m.config.DevicesPerPipeline()
	first = sort.Search(len(groups), func(i int) bool { return groups[i].end > pipeline*ranks })
	end = sort.Search(len(groups), func(i int) bool { return groups[i].first >= (pipeline+1)*ranks })
	return first, end
}

// match solves the inner problem of g and the devices of a slot, which are not
// fewer, and returns the weight of its solution.
func (m *matcher) match(g group, devices []device) int64 {
	m.inner.reset(g.end-g.first, len(devices))
	for rank := g.first; rank < g.end; rank++ {
		row := m.inner.row(rank - g.first)
		for j, d := range devices {
			row[j] = m.weight(d, rank)
		}
	}
	m.inner.solve()
	return m.inner.total()
}

// weight is what d keeps at a rank: bytes first, and then whether it stays. All
// who stay together weigh less than a byte.
func (m *matcher) weight(d device, rank int) int64 {
	pipeline := m.placements[rank].Position.Data
	weight := d.keeps(m.geometry, m.regions[rank], pipeline) * int64(len(m.placements)+1)
	if d.pipeline == pipeline && d.model == m.regions[rank] {
		weight++
	}
	return weight
}

func regionsOf(devices []device) []migrate.Region {
	out := make([]migrate.Region, len(devices))
	for i, d := range devices {
		out[i] = d.model
	}
	return out
}

// strangers are devices that hold regions of no pipeline in particular.
func strangers(regions []migrate.Region) []device {
	out := make([]device, len(regions))
	for i, r := range regions {
		out[i] = device{model: r, pipeline: -1}
	}
	return out
}

// kindsOf numbers lists of regions so that those of equal regions are of one
// kind. It returns the kind of each list and the lists of each kind.
func kindsOf(lists [][]migrate.Region) (kind []int, alike [][]int) {
	kind = make([]int, len(lists))
	byKey := make(map[string]int)
	var key []byte
	for i, list := range lists {
		key = key[:0]
		for _, r := range list {
			for _, n := range [...]int{r.FirstLayer, r.EndLayer, r.FirstLeaf, r.EndLeaf} {
				key = binary.AppendVarint(key, int64(n))
			}
		}
		k, ok := byKey[string(key)]
		if !ok {
			k = len(alike)
			byKey[string(key)] = k
			alike = append(alike, nil)
		}
		kind[i] = k
		alike[k] = append(alike[k], i)
	}
	return kind, alike
}
