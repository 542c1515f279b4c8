package migrate

import (
	"cmp"
	"slices"

	"github.com/spotserve/spotserve/core/topology"
	"github.com/spotserve/spotserve/core/vtime"
)

// disk stands for no device among the numbers of devices.
const disk = -1

// scene is a task with its nodes and devices numbered in device order, so that
// a tie by number is a tie by device id. It does not change while plans are
// drafted.
type scene struct {
	Geometry
	task Task

	devices []topology.Device
	node    []int        // of a device
	first   []int        // node n has the devices first[n] up to first[n+1]
	goes    []vtime.Time // when a node goes; vtime.Never if it stays

	lastGoes vtime.Time // when the last node that leaves goes

	have, need, keep []Region      // of a device: before, after, and their common part
	old              map[int][]int // devices that hold a pipeline's cache, ascending
	heirs            map[int][]int // devices that a pipeline is placed on, ascending

	targets []int        // placed devices, in the order of the task
	stage   []int        // of a placed device: index in stages
	stages  []StageReady // by pipeline and stage

	receivers [][]int // of a layer: placed devices that lack some of it, ascending
	releasers [][]int // of a layer: placed devices that hold some beyond need
	regions   []group // devices by what they hold
	cover     [][]int // of a cell: the groups that hold it
	incoming  []int64 // bytes of weights that a node can only get over the network
}

// group lists the devices that hold the same part of the model.
type group struct {
	model            Region
	staying, leaving []int
}

func newScene(g Geometry, t Task) *scene {
	s := &scene{Geometry: g, task: t, old: make(map[int][]int), heirs: make(map[int][]int)}
	number := s.number()
	n := len(s.devices)
	s.have, s.need, s.keep = make([]Region, n), make([]Region, n), make([]Region, n)
	model := Region{EndLayer: g.Layers, EndLeaf: g.Leaves}
	for _, x := range t.Held.byDevice {
		d := number[x.Device]
		s.have[d] = x.Model.Intersect(model)
		s.old[x.Pipeline] = append(s.old[x.Pipeline], d)
	}
	for _, p := range t.Placements {
		d := number[p.Device]
		s.need[d] = g.Region(t.Config, p.Position)
		s.keep[d] = s.have[d].Intersect(s.need[d])
		s.targets = append(s.targets, d)
		s.heirs[p.Position.Data] = append(s.heirs[p.Position.Data], d)
	}
	for _, ds := range s.old {
		slices.Sort(ds)
	}
	for _, ds := range s.heirs {
		slices.Sort(ds)
	}
	s.findStages()
	s.findHolders()
	s.findMoves()
	return s
}

// number gives every device that holds or needs something its number.
func (s *scene) number() map[topology.Device]int {
	gpus := make(map[string][]int)
	add := func(d topology.Device) {
		if !slices.Contains(gpus[d.Node], d.GPU) {
			gpus[d.Node] = append(gpus[d.Node], d.GPU)
		}
	}
	for d := range s.task.Held.byDevice {
		add(d)
	}
	for _, p := range s.task.Placements {
		add(p.Device)
	}
	names := make([]string, 0, len(gpus))
	for name := range gpus {
		names = append(names, name)
	}
	slices.SortFunc(names, topology.CompareNodes)
	numbers := make(map[topology.Device]int, max(len(s.task.Held.byDevice), len(s.task.Placements)))
	for n, name := range names {
		until, goes := s.task.Leaving[name]
		if goes {
			s.lastGoes = max(s.lastGoes, until)
		} else {
			until = vtime.Never
		}
		s.goes = append(s.goes, until)
		s.first = append(s.first, len(s.devices))
		slices.Sort(gpus[name])
		for _, gpu := range gpus[name] {
			d := topology.Device{Node: name, GPU: gpu}
			numbers[d] = len(s.devices)
			s.devices = append(s.devices, d)
			s.node = append(s.node, n)
		}
	}
	s.first = append(s.first, len(s.devices))
	return numbers
}

// findStages lists the stages that the task places.
func (s *scene) findStages() {
	for _, p := range s.task.Placements {
		s.stages = append(s.stages, StageReady{Pipeline: p.Position.Data, Stage: p.Position.Pipeline})
	}
	order := func(a, b StageReady) int {
		return cmp.Or(cmp.Compare(a.Pipeline, b.Pipeline), cmp.Compare(a.Stage, b.Stage))
	}
	slices.SortFunc(s.stages, order)
	s.stages = slices.Compact(s.stages)
	s.stage = make([]int, len(s.devices))
	for i, p := range s.task.Placements {
		s.stage[s.targets[i]], _ = slices.BinarySearchFunc(s.stages,
			StageReady{Pipeline: p.Position.Data, Stage: p.Position.Pipeline}, order)
	}
}

// findHolders groups the devices by what they hold.
func (s *scene) findHolders() {
	at := make(map[Region]int)
	s.cover = make([][]int, s.Layers*s.Leaves)
	for d, r := range s.have {
		if r.Cells() == 0 {
			continue
		}
		i, ok := at[r]
		if !ok {
			i = len(s.regions)
			at[r] = i
			s.regions = append(s.regions, group{model: r})
			for l, f := range r.cells() {
				s.cover[s.cell(l, f)] = append(s.cover[s.cell(l, f)], i)
			}
		}
		if s.stays(d) {
			s.regions[i].staying = append(s.regions[i].staying, d)
		} else {
			s.regions[i].leaving = append(s.regions[i].leaving, d)
		}
	}
}

// findMoves lists, layer by layer, who has to receive and who can release.
func (s *scene) findMoves() {
	s.receivers, s.releasers = make([][]int, s.Layers), make([][]int, s.Layers)
	s.incoming = make([]int64, len(s.goes))
	for d, need := range s.need {
		if need.Cells() == 0 {
			continue
		}
		for l := need.FirstLayer; l < need.EndLayer; l++ {
			if s.lacks(d, l) == 0 {
				continue
			}
			s.receivers[l] = append(s.receivers[l], d)
			for f := need.FirstLeaf; f < need.EndLeaf; f++ {
				if !s.keep[d].contains(l, f) && len(s.cover[s.cell(l, f)]) > 0 && !s.nearby(d, l, f) {
					s.incoming[s.node[d]] += s.CellBytes
				}
			}
		}
		for l := s.have[d].FirstLayer; l < s.have[d].EndLayer; l++ {
			if s.spare(d, l) > 0 {
				s.releasers[l] = append(s.releasers[l], d)
			}
		}
	}
}

func (s *scene) cell(layer, leaf int) int { return layer*s.Leaves + leaf }

func (s *scene) link(from, to int) link {
	l := link{from: from, to: to, toNode: s.node[to]}
	if from != disk {
		l.fromNode = s.node[from]
	}
	return l
}

// stays reports whether the node of device d does not leave.
func (s *scene) stays(d int) bool { return s.goes[s.node[d]] == vtime.Never }

// nearby reports whether a device of d's node holds a cell.
func (s *scene) nearby(d, layer, leaf int) bool {
	n := s.node[d]
	return slices.ContainsFunc(s.have[s.first[n]:s.first[n+1]], func(r Region) bool { return r.contains(layer, leaf) })
}

// lacks is what device d has to receive of a layer, in bytes.
func (s *scene) lacks(d, layer int) int64 {
	return int64(s.need[d].width(layer)-s.keep[d].width(layer)) * s.CellBytes
}

// spare is what device d holds of a layer beyond its need, in bytes.
func (s *scene) spare(d, layer int) int64 {
	return int64(s.have[d].width(layer)-s.keep[d].width(layer)) * s.CellBytes
}

// whole reports, for each inheritance, whether all of its cache is held by
// somebody and somebody takes it over. A batch with a hole in its cache is
// worth nothing.
func (s *scene) whole() []bool {
	out := make([]bool, len(s.task.Inherit))
	for i, in := range s.task.Inherit {
		if heirs := s.heirs[in.To]; !slices.ContainsFunc(heirs, func(to int) bool { return !s.inPlace(in, to) }) {
			out[i] = len(heirs) > 0
			continue
		}
		held := make([]bool, s.Layers*s.Leaves)
		for _, d := range s.old[in.From] {
			for l, f := range s.have[d].cells() {
				held[s.cell(l, f)] = true
			}
		}
		out[i] = len(s.heirs[in.To]) > 0
		for _, d := range s.heirs[in.To] {
			for l, f := range s.need[d].cells() {
				out[i] = out[i] && held[s.cell(l, f)]
			}
		}
	}
	return out
}
