package kernel

import (
	"fmt"
	"runtime"
)

// Options of a CPU. The zero value computes as fast as the machine can, with a
// thread a core that wait blocked.
type Options struct {
	// Level to compute with; one that the machine lacks stands for the best
	// below it.
	Level Level
	// Threads that compute together, the caller's among them; 0 is one for each
	// processor that Go may use.
	Threads int
	Wait    Wait
}

// CPU computes on some threads of this machine. Its methods can be called at the
// same time: one call at a time has the threads, and the others do all on the
// caller's. They allocate nothing.
type CPU struct {
	level Level
	pool  *pool
}

// New starts the threads; Close ends them.
func New(o Options) *CPU {
	threads := o.Threads
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	return &CPU{level: usable(o.Level), pool: newPool(threads, o.Wait)}
}

// Close ends the threads and waits for them. What is computed afterwards is
// computed on the caller's thread.
func (c *CPU) Close() { c.pool.close() }

// Level is what c computes with.
func (c *CPU) Level() Level { return c.level }

// Threads that compute together.
func (c *CPU) Threads() int { return c.pool.threads }

// Parallel calls f(0) to f(n-1) on all threads, in any order, and returns when
// all have returned. Called by f, it uses one thread.
func (c *CPU) Parallel(n int, f func(i int)) {
	c.pool.run(job{kind: jobCalls, total: n, grain: 1, call: f})
}

// Matrix is a row-major matrix of weights, with exactly one of F32 and BF16 set,
// Rows*Cols long.
type Matrix struct {
	Rows, Cols int
	F32        []float32
	BF16       []uint16
}

// Check says what is wrong with m's shape; nil if it can be used.
func (m Matrix) Check() error {
	have := len(m.F32)
	switch {
	case m.Rows < 0 || m.Cols < 0:
		return fmt.Errorf("matrix of %d rows and %d columns: neither may be negative", m.Rows, m.Cols)
	case m.F32 != nil && m.BF16 != nil:
		return fmt.Errorf("matrix of %d rows and %d columns: has both f32 and bf16 elements, must have one of them", m.Rows, m.Cols)
	case m.F32 == nil:
		have = len(m.BF16)
	}
	if have != m.Rows*m.Cols {
		return fmt.Errorf("matrix of %d rows and %d columns: has %d elements, must have %d", m.Rows, m.Cols, have, m.Rows*m.Cols)
	}
	return nil
}

// MatMul multiplies n vectors by w: out[t*stride+r] = Dot(w's row r, x[t*Cols:])
// for t < n and r < w.Rows. x is [n][w.Cols]; out is [n][stride], of which the
// last may be w.Rows long. out must not overlap x.
func (c *CPU) MatMul(out []float32, stride int, x []float32, n int, w Matrix) {
	if n <= 0 || w.Rows == 0 {
		return
	}
	// The assembly checks nothing.
	_ = out[:(n-1)*stride+w.Rows]
	_ = x[:n*w.Cols]
	if w.BF16 != nil {
		_ = w.BF16[:w.Rows*w.Cols]
	} else {
		_ = w.F32[:w.Rows*w.Cols]
	}
	c.pool.run(job{
		kind: jobMatMul, total: w.Rows, grain: rowGrain(w.Rows, n*w.Cols, c.pool.threads), level: c.level,
		out: out, stride: stride, x: x, n: n, w: w,
	})
}

// rowsPerTile is how many rows a tile of the assembly has at most: chunks of
// rows start at multiples of it.
const rowsPerTile = 8

// Of what a thread takes at a time: no less than so many multiplications, which
// take longer than to hand them over, and so many chunks a thread, so that one
// that is interrupted does not keep the others waiting.
const (
	minChunk        = 1 << 17
	chunksPerThread = 8
)

// rowGrain is how many rows a thread takes at a time, each of so many multiplications.
func rowGrain(rows, each, threads int) int {
	grain := rows / (threads * chunksPerThread)
	grain = max(grain, minChunk/max(each, 1), 1)
	return (grain + rowsPerTile - 1) / rowsPerTile * rowsPerTile
}
