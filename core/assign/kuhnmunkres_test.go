package assign_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/spotserve/spotserve/core/assign"
	"github.com/spotserve/spotserve/core/draw"
)

// bestOfAll is the naive twin of MaxWeight: the largest sum over all ways to
// give the rows columns of their own.
func bestOfAll(weights [][]int64) int64 {
	taken := make([]bool, len(weights[0]))
	var from func(i int) int64
	from = func(i int) int64 {
		if i == len(weights) {
			return 0
		}
		var best int64
		first := true
		for j, w := range weights[i] {
			if taken[j] {
				continue
			}
			taken[j] = true
			if sum := w + from(i+1); first || sum > best {
				best, first = sum, false
			}
			taken[j] = false
		}
		return best
	}
	return from(0)
}

// sumOf checks that columns are of their own and adds up what they weigh.
func sumOf(t testing.TB, weights [][]int64, columns []int) int64 {
	t.Helper()
	if len(columns) != len(weights) {
		t.Fatalf("%d rows get %d columns", len(weights), len(columns))
	}
	var sum int64
	seen := make(map[int]bool)
	for i, j := range columns {
		if j < 0 || j >= len(weights[i]) || seen[j] {
			t.Fatalf("row %d gets column %d of %v", i, j, columns)
		}
		seen[j] = true
		sum += weights[i][j]
	}
	return sum
}

// matrices draw weights in the ways that are hard in different places.
var matrices = []struct {
	name   string
	weight func(r *rand.Rand, i, j int) int64
}{
	{"few values, many ties", func(r *rand.Rand, _, _ int) int64 { return r.Int64N(3) }},
	{"small", func(r *rand.Rand, _, _ int) int64 { return r.Int64N(20) }},
	{"both signs", func(r *rand.Rand, _, _ int) int64 { return r.Int64N(41) - 20 }},
	{"all negative", func(r *rand.Rand, _, _ int) int64 { return -1 - r.Int64N(1e6) }},
	{"petabytes", func(r *rand.Rand, _, _ int) int64 { return r.Int64N(1e15) }},
	{"as large as allowed", func(r *rand.Rand, _, _ int) int64 { return (r.Int64N(3) - 1) << 60 }},
	{"all equal", func(*rand.Rand, int, int) int64 { return 7 }},
	{"products, which put all rows at odds", func(_ *rand.Rand, i, j int) int64 { return int64((i + 1) * (j + 1)) }},
	{"equal rows", func(_ *rand.Rand, _, j int) int64 { return int64(j * j % 5) }},
	{"equal columns", func(_ *rand.Rand, i, _ int) int64 { return int64(i * i % 5) }},
}

func matrix(r *rand.Rand, rows, columns int, weight func(r *rand.Rand, i, j int) int64) [][]int64 {
	out := make([][]int64, rows)
	for i := range out {
		out[i] = make([]int64, columns)
		for j := range out[i] {
			out[i][j] = weight(r, i, j)
		}
	}
	return out
}

// TestMaxWeightIsTheBestOfAll compares with the naive twin, with the identity
// and with itself.
func TestMaxWeightIsTheBestOfAll(t *testing.T) {
	for _, m := range matrices {
		r := draw.Stream(1, m.name)
		for range 1500 {
			rows := 1 + r.IntN(6)
			columns := rows + r.IntN(8-rows)
			if m.name == "as large as allowed" {
				rows = min(rows, 4) // so that the test can add them up
			}
			weights := matrix(r, rows, columns, m.weight)
			before := fmt.Sprint(weights)
			got := assign.MaxWeight(weights)
			if sum, best := sumOf(t, weights, got), bestOfAll(weights); sum != best {
				t.Fatalf("%s: %v gets %v of weight %d, want %d", m.name, weights, got, sum, best)
			}
			if again := assign.MaxWeight(weights); !slices.Equal(got, again) {
				t.Fatalf("%s: %v gets %v, then %v", m.name, weights, got, again)
			}
			if fmt.Sprint(weights) != before {
				t.Fatalf("%s: the caller's weights changed", m.name)
			}
		}
	}
}

// TestMaxWeightHasNoGainingExchange checks matrices too large for the twin by the
// theorem that a matching is the heaviest exactly if no cycle of exchanges
// gains: Bellman-Ford finds one if there is any.
func TestMaxWeightHasNoGainingExchange(t *testing.T) {
	for _, m := range matrices {
		if m.name == "as large as allowed" {
			continue // gains of a cycle would not fit
		}
		r := draw.Stream(2, m.name)
		for range 20 {
			rows := 1 + r.IntN(40)
			weights := matrix(r, rows, rows+r.IntN(10), m.weight)
			got := assign.MaxWeight(weights)
			sumOf(t, weights, got)
			if gains(weights, got) {
				t.Fatalf("%s: %d rows: an exchange gains", m.name, rows)
			}
		}
	}
}

// gains reports whether rows can exchange columns, or move to one that nobody
// has, so that the sum grows.
func gains(weights [][]int64, columns []int) bool {
	// gain[i] is the most that a chain of moves ending in row i's column gains;
	// a chain can begin anywhere, and end in a free column.
	n := len(weights)
	owner := make(map[int]int)
	for i, j := range columns {
		owner[j] = i
	}
	gain := make([]int64, n)
	for range n + 1 {
		grown := false
		for i, row := range weights {
			for j, w := range row {
				next, taken := owner[j]
				g := gain[i] + w - row[columns[i]]
				switch {
				case !taken && g > 0:
					return true
				case taken && g > gain[next]:
					gain[next], grown = g, true
				}
			}
		}
		if !grown {
			return false
		}
	}
	return true
}

func TestMaxWeightByHand(t *testing.T) {
	for _, tt := range []struct {
		name    string
		weights [][]int64
		want    []int
	}{
		{"nothing to assign", nil, nil},
		{"one", [][]int64{{-3}}, []int{0}},
		{"ties go to the lowest column", [][]int64{{0, 0, 0}, {0, 0, 0}}, []int{0, 1}},
		{"the greedy choice of row 0 costs more than it gains", [][]int64{{10, 9}, {10, 1}}, []int{1, 0}},
		{"a spare column is left", [][]int64{{1, 5, 3}, {2, 6, 3}}, []int{2, 1}},
		{"a chain of three", [][]int64{{9, 8, 0}, {9, 0, 0}, {0, 8, 7}}, []int{1, 0, 2}},
		{"more rows than columns", [][]int64{{1}, {2}}, nil},
		{"no columns", [][]int64{{}}, nil},
		{"ragged", [][]int64{{1, 2}, {3}}, nil},
	} {
		if got := assign.MaxWeight(tt.weights); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}
