package dataplane_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/engine/dataplane"
)

const run = "e2e-1"

var epoch = event.Epoch{Term: 1, N: 2}

// meshes opens the epoch on nodes that have the ranks' devices, one pipeline.
func (r *rig) meshes(ranks []dataplane.Peer, change ...func(*dataplane.Options)) map[string]*dataplane.Mesh {
	r.t.Helper()
	out := map[string]*dataplane.Mesh{}
	for _, p := range ranks {
		if out[p.Node] == nil {
			out[p.Node] = r.join(r.node(p.Node, change...), epoch, ranks)
		}
	}
	return out
}

func (r *rig) join(s *dataplane.Server, e event.Epoch, members []dataplane.Peer) *dataplane.Mesh {
	r.t.Helper()
	m, err := s.Join(run, e, map[int][]dataplane.Peer{0: members})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(m.Close)
	return m
}

// placed are n ranks on nodes of the given number of devices.
func placed(n, devices int) []dataplane.Peer {
	var out []dataplane.Peer
	for r := range n {
		out = append(out, dataplane.Peer{Node: fmt.Sprintf("n%d", r/devices), Device: r % devices})
	}
	return out
}

func step(n uint64) dataplane.Step { return dataplane.Step{Number: n} }

// together runs f for each rank at once and returns their errors.
func together(n int, f func(rank int) error) []error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for r := range n {
		wg.Go(func() { errs[r] = f(r) })
	}
	wg.Wait()
	return errs
}

// tree is the sum that the ranks have to come to: (0+1)+(2+3)+..., in one place.
func tree(vectors [][]float32) []float32 {
	if len(vectors) == 1 {
		return slices.Clone(vectors[0])
	}
	left, right := tree(vectors[:len(vectors)/2]), tree(vectors[len(vectors)/2:])
	for i := range left {
		left[i] += right[i]
	}
	return left
}

func vectors(r *rand.Rand, ranks, n int) [][]float32 {
	out := make([][]float32, ranks)
	for i := range out {
		out[i] = make([]float32, n)
		for k := range out[i] {
			// Exponents that differ, so that the order of a sum shows.
			out[i][k] = float32(math.Ldexp(r.Float64()-0.5, r.IntN(24)))
		}
	}
	return out
}

func sameBits(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) })
}

// Sums have the bits of the tree for any number of ranks and any length, on
// devices of one process and of several; vectors larger than the sockets' buffers
// go both ways at once.
func TestSumIsTheTree(t *testing.T) {
	for _, ranks := range []int{1, 2, 4, 8} {
		for _, devices := range []int{1, 2, ranks} {
			t.Run(fmt.Sprintf("%d ranks, %d a node", ranks, devices), func(t *testing.T) {
				r := newRig(t)
				peers := placed(ranks, devices)
				meshes := r.meshes(peers, func(o *dataplane.Options) { o.SocketBuffer = 128 << 10 })
				random := rand.New(rand.NewPCG(uint64(ranks), uint64(devices)))
				for i, n := range []int{0, 1, 7, 768, 16 << 10, 16<<10 + 1, 300_000} {
					in := vectors(random, ranks, n)
					want := tree(in)
					for rank, err := range together(ranks, func(rank int) error {
						c, err := meshes[peers[rank].Node].Comm(peers, rank, step(uint64(i)))
						if err != nil {
							return err
						}
						if c.Rank() != rank || c.Size() != ranks {
							t.Errorf("rank %d of %d calls itself %d of %d", rank, ranks, c.Rank(), c.Size())
						}
						return c.Sum(t.Context(), in[rank])
					}) {
						if err != nil {
							t.Fatalf("rank %d: %v", rank, err)
						}
						if !sameBits(in[rank], want) {
							t.Fatalf("%d values: rank %d has other bits than the tree", n, rank)
						}
					}
				}
			})
		}
	}
}

// Many sums and gathers of one step follow each other, of several groups at once.
func TestCollectivesFollowEachOther(t *testing.T) {
	const ranks, groups, rounds = 4, 3, 20
	r := newRig(t)
	peers := placed(ranks, 2)
	meshes := r.meshes(peers)
	var wg sync.WaitGroup
	for group := range groups {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(7, uint64(group)))
			for round := range rounds {
				a, b := vectors(random, ranks, 1+random.IntN(2000)), vectors(random, ranks, 20_000)
				wantA, wantB := tree(a), tree(b)
				var parts [][]float32
				for rank := range ranks {
					parts = append(parts, vectors(random, 1, 5*rank+group)[0])
				}
				whole := slices.Concat(parts...)
				s := dataplane.Step{Group: group, Number: uint64(round)}
				for rank, err := range together(ranks, func(rank int) error {
					c, err := meshes[peers[rank].Node].Comm(peers, rank, s)
					if err != nil {
						return err
					}
					out := make([]float32, len(whole))
					if err := errors.Join(c.Sum(t.Context(), a[rank]), c.Gather(t.Context(), out, parts[rank]), c.Sum(t.Context(), b[rank])); err != nil {
						return err
					}
					if !sameBits(a[rank], wantA) || !sameBits(b[rank], wantB) || !sameBits(out, whole) {
						return errors.New("other bits")
					}
					return nil
				}) {
					if err != nil {
						t.Errorf("group %d round %d rank %d: %v", group, round, rank, err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
}

// Ranks that disagree about lengths learn of it, all of them, and the next step works.
func TestLengthsThatDiffer(t *testing.T) {
	const ranks = 4
	for _, lengths := range [][]int{{5, 5, 6, 5}, {5, 5, 5, 40_000}, {40_000, 40_000, 40_001, 40_000}} {
		t.Run(fmt.Sprint(lengths), func(t *testing.T) {
			r := newRig(t)
			peers := placed(ranks, 1)
			meshes := r.meshes(peers)
			var wrong int
			for rank, err := range together(ranks, func(rank int) error {
				c, err := meshes[peers[rank].Node].Comm(peers, rank, step(1))
				if err != nil {
					return err
				}
				if err := c.Sum(t.Context(), make([]float32, lengths[rank])); err != nil {
					return err
				}
				return c.Sum(t.Context(), make([]float32, 3)) // who did not notice does now
			}) {
				if errors.Is(err, dataplane.ErrLength) {
					wrong++
				} else if !errors.Is(err, dataplane.ErrAborted) {
					t.Errorf("rank %d: %v, want an aborted step", rank, err)
				}
			}
			if wrong == 0 {
				t.Error("nobody noticed the lengths")
			}
			for rank, err := range together(ranks, func(rank int) error {
				c, err := meshes[peers[rank].Node].Comm(peers, rank, step(2))
				if err != nil {
					return err
				}
				return c.Sum(t.Context(), make([]float32, 9))
			}) {
				if err != nil {
					t.Errorf("the next step, rank %d: %v", rank, err)
				}
			}
		})
	}
}

func TestGatherOfWrongLength(t *testing.T) {
	r := newRig(t)
	peers := placed(2, 1)
	meshes := r.meshes(peers)
	for _, n := range []int{2, 4} {
		for rank, err := range together(2, func(rank int) error {
			c, err := meshes[peers[rank].Node].Comm(peers, rank, step(uint64(n)))
			if err != nil {
				return err
			}
			return c.Gather(t.Context(), make([]float32, n), make([]float32, rank+1))
		}) {
			if !errors.Is(err, dataplane.ErrLength) && !errors.Is(err, dataplane.ErrAborted) {
				t.Errorf("%d places for 3 values, rank %d: %v", n, rank, err)
			}
		}
	}
}

func TestBadRanks(t *testing.T) {
	r := newRig(t)
	peers := placed(4, 1)
	m := r.meshes(peers)["n1"]
	for name, c := range map[string]struct {
		ranks []dataplane.Peer
		rank  int
		step  dataplane.Step
		want  error
	}{
		"three ranks":        {peers[:3], 1, step(1), dataplane.ErrLength},
		"rank beyond":        {peers, 4, step(1), dataplane.ErrLength},
		"negative rank":      {peers, -1, step(1), dataplane.ErrLength},
		"rank of another":    {peers, 0, step(1), dataplane.ErrWrongNode},
		"stranger":           {[]dataplane.Peer{{Node: "x"}, peers[1]}, 1, step(1), dataplane.ErrFrame},
		"pipeline not there": {peers, 1, dataplane.Step{Pipeline: 1}, dataplane.ErrFrame},
		"negative group":     {peers, 1, dataplane.Step{Group: -1}, dataplane.ErrFrame},
	} {
		if _, err := m.Comm(c.ranks, c.rank, c.step); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
}

// A rank that never comes keeps the others waiting until they are told to stop.
func TestSumIsCancelled(t *testing.T) {
	r := newRig(t)
	peers := placed(2, 1)
	m := r.meshes(peers)["n0"]
	c, err := m.Comm(peers, 0, step(1))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := contextWithCause(t)
	time.AfterFunc(20*time.Millisecond, func() { cancel(errEnough) })
	if err := c.Sum(ctx, make([]float32, 8)); !errors.Is(err, errEnough) {
		t.Fatalf("got %v", err)
	}
}
