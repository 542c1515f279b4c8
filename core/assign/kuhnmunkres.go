package assign

import (
	"math"
	"slices"
)

// MaxWeight gives every row of a matrix a column of its own so that the sum of
// the chosen weights is the largest, and returns the column of each row.
//
// It is the Kuhn-Munkres method in the form of Jonker and Volgenant: shortest
// augmenting paths over potentials, O(rows^2 x columns). Equal input gives
// equal output, and among equal weights the lowest column comes first, so that
// a matrix of one value gives the identity. Weights may be negative; up to
// 2^60 in size nothing overflows. It returns nil when rows outnumber columns or
// are not equally long.
func MaxWeight(weights [][]int64) []int {
	if len(weights) == 0 || len(weights) > len(weights[0]) {
		return nil
	}
	var s solver
	s.reset(len(weights), len(weights[0]))
	for i, row := range weights {
		if len(row) != s.columns {
			return nil
		}
		copy(s.row(i), row)
		if like := slices.IndexFunc(weights[:i], func(r []int64) bool { return slices.Equal(r, row) }); like >= 0 {
			s.kind[i] = like
		}
	}
	return slices.Clone(s.solve())
}

// solver is an assignment problem and the room to solve it. It can be reset for
// another problem, which spares the many small ones their allocations.
//
// Throughout, the slack u[i]+v[j]-weight(i, j) of every edge is at least 0, that
// of a chosen edge is 0, and v is at least 0 and 0 for columns that no row has:
// once every row has a column, these are the conditions for the optimum. They
// also keep potentials and distances within three times the range of weights.
type solver struct {
	rows, columns int
	weights       []int64 // row by row
	// kind and extra say which rows are nearly equal, and may be set after
	// reset: of two rows of a kind, neither weighs more than the other in any
	// column but its own extra ones.
	kind  []int
	extra [][]int

	u, v     []int64 // potentials of rows and columns
	columnOf []int   // of each row, -1 for none yet
	rowOf    []int   // of each column, -1 for none yet
	search   search
}

// search is the state of one search for a path to a free column.
type search struct {
	distance []int64 // of each column, the shortest yet known
	before   []int   // of each column, the row before it on that path
	reached  []bool  // of each column: distance is final
	queue    []int   // the columns reached, the nearest first
	free     int     // the column that ends the search, -1 for none yet
	least    []int64 // of each kind, distance and potential of the row followed
}

// reset makes s a problem of rows x columns zero weights, each row of a kind of
// its own.
func (s *solver) reset(rows, columns int) {
	s.rows, s.columns = rows, columns
	s.weights = room(s.weights, rows*columns)
	clear(s.weights)
	s.kind, s.extra = room(s.kind, rows), room(s.extra, rows)
	for i := range rows {
		s.kind[i], s.extra[i] = i, s.extra[i][:0]
	}
	s.u, s.columnOf = room(s.u, rows), room(s.columnOf, rows)
	s.v, s.rowOf = room(s.v, columns), room(s.rowOf, columns)
	s.search.distance, s.search.before = room(s.search.distance, columns), room(s.search.before, columns)
	s.search.reached, s.search.least = room(s.search.reached, columns), room(s.search.least, rows)
}

func room[T any](s []T, n int) []T { return slices.Grow(s[:0], n)[:n] }

// row is the weights of row i, to be filled in.
func (s *solver) row(i int) []int64 { return s.weights[i*s.columns : (i+1)*s.columns] }

// solve returns the column of each row; the slice is valid until the next
// reset. There are not more rows than columns.
func (s *solver) solve() []int {
	s.reduce()
	for i := range s.rows {
		if s.columnOf[i] < 0 {
			s.augment(i)
		}
	}
	return s.columnOf
}

// total is the sum of the chosen weights after solve.
func (s *solver) total() int64 {
	var sum int64
	for i, j := range s.columnOf {
		sum += s.row(i)[j]
	}
	return sum
}

// reduce sets the first potentials and gives every row that it can the first
// free column among its best ones. Devices that can stay where they are, the
// usual case, are through with that.
func (s *solver) reduce() {
	clear(s.v)
	for j := range s.rowOf {
		s.rowOf[j] = -1
	}
	for i := range s.rows {
		row := s.row(i)
		best := slices.Max(row)
		s.u[i], s.columnOf[i] = best, -1
		for j, w := range row {
			if w == best && s.rowOf[j] < 0 {
				s.columnOf[i], s.rowOf[j] = j, i
				break
			}
		}
	}
}

// augment gives row start a column along the shortest path, by slack, of
// free and chosen edges in turn that ends in a column no row has (Dijkstra).
func (s *solver) augment(start int) {
	f := &s.search
	f.queue, f.free = f.queue[:0], -1
	clear(f.reached)
	for j := range f.distance {
		f.distance[j] = math.MaxInt64
	}
	for kind := range f.least {
		f.least[kind] = math.MaxInt64
	}
	s.follow(start, 0)
	next := 0
	for f.free < 0 {
		if next == len(f.queue) {
			s.nearest()
			continue
		}
		j := f.queue[next]
		next++
		s.follow(s.rowOf[j], f.distance[j])
	}
	length := f.distance[f.free]
	s.u[start] -= length
	for _, j := range f.queue[:next] {
		s.v[j] += length - f.distance[j]
		s.u[s.rowOf[j]] -= length - f.distance[j]
	}
	for i, j := -1, f.free; i != start; {
		i = f.before[j]
		s.rowOf[j] = i
		j, s.columnOf[i] = s.columnOf[i], j
	}
}

// follow looks from row i, which is length away, for shorter paths to columns.
// After another row of its kind, at least as near, only its extra columns can
// have one.
func (s *solver) follow(i int, length int64) {
	f, row := &s.search, s.row(i)
	base := length + s.u[i]
	if kind := s.kind[i]; base < f.least[kind] {
		f.least[kind] = base
		for j, w := range row {
			if d := base + s.v[j] - w; d < f.distance[j] {
				f.distance[j], f.before[j] = d, i
			}
		}
		return
	}
	for _, j := range s.extra[i] {
		if d := base + s.v[j] - row[j]; d < f.distance[j] {
			f.distance[j], f.before[j] = d, i
		}
	}
}

// nearest queues the nearest of the columns that are not reached yet.
func (s *solver) nearest() {
	f := &s.search
	var length int64 = math.MaxInt64
	for j, d := range f.distance {
		if d < length && !f.reached[j] {
			length = d
		}
	}
	for j, d := range f.distance {
		if d != length || f.reached[j] {
			continue
		}
		f.queue, f.reached[j] = append(f.queue, j), true
		if s.rowOf[j] < 0 && f.free < 0 {
			f.free = j
		}
	}
}
