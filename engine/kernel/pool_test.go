package kernel

import (
	"sync"
	"sync/atomic"
	"testing"
)

func TestParallelCallsEachOnce(t *testing.T) {
	eachCPU(t, func(t *testing.T, c *CPU) {
		for _, n := range []int{0, 1, 2, 3, 50, 1000} {
			for range 20 {
				calls := make([]atomic.Int32, n)
				c.Parallel(n, func(i int) { calls[i].Add(1) })
				for i := range calls {
					if got := calls[i].Load(); got != 1 {
						t.Fatalf("call %d of %d was made %d times when Parallel returned", i, n, got)
					}
				}
			}
		}
	})
}

// Two calls that wait for each other return only if two threads make them.
func TestParallelUsesItsThreads(t *testing.T) {
	for _, wait := range []Wait{Block, Spin} {
		c := New(Options{Threads: 2, Wait: wait})
		for range 200 {
			var met sync.WaitGroup
			met.Add(2)
			c.Parallel(2, func(int) {
				met.Done()
				met.Wait()
			})
		}
		c.Close()
	}
}

func TestParallelInsideAndBesideParallel(t *testing.T) {
	eachCPU(t, func(t *testing.T, c *CPU) {
		var calls atomic.Int32
		var callers sync.WaitGroup
		for range 4 {
			callers.Go(func() {
				for range 50 {
					c.Parallel(3, func(int) {
						c.Parallel(2, func(int) { calls.Add(1) })
					})
				}
			})
		}
		callers.Wait()
		if got := calls.Load(); got != 4*50*3*2 {
			t.Errorf("%d calls, want %d", got, 4*50*3*2)
		}
	})
}

func TestMatMulBesideMatMul(t *testing.T) {
	c := New(Options{Threads: 3, Wait: Spin})
	defer c.Close()
	w := Matrix{Rows: 2000, Cols: 128, F32: make([]float32, 2000*128)}
	for i := range w.F32 {
		w.F32[i] = float32(i % 7)
	}
	var callers sync.WaitGroup
	for caller := range 4 {
		callers.Go(func() {
			x, out := make([]float32, 128), make([]float32, w.Rows)
			x[caller] = 1
			for range 50 {
				c.MatMul(out, w.Rows, x, 1, w)
				for r, v := range out {
					if want := w.F32[r*w.Cols+caller]; v != want {
						t.Errorf("caller %d, row %d: %v, want %v", caller, r, v, want)
						return
					}
				}
			}
		})
	}
	callers.Wait()
}

func TestClosedCPUComputesAlone(t *testing.T) {
	c := New(Options{Threads: 4})
	c.Close()
	c.Close()
	calls := 0 // by one thread: no need for an atomic
	c.Parallel(100, func(int) { calls++ })
	if calls != 100 {
		t.Errorf("%d calls, want 100", calls)
	}
}

func TestKernelsAllocateNothing(t *testing.T) {
	x, out := make([]float32, 1000), make([]float32, 1000)
	w := Matrix{Rows: 300, Cols: 900, F32: make([]float32, 900*300)}
	ragged := Matrix{Rows: 1000, Cols: 331, BF16: make([]uint16, 331*1000)}
	pages := [][]float32{make([]float32, 64*32), make([]float32, 64*32)}
	heads := func(int) {}
	eachCPU(t, func(t *testing.T, c *CPU) {
		if got := testing.AllocsPerRun(3, func() {
			c.MatMul(out, 300, x, 1, w)
			c.MatMul(out, 500, x, 1, Matrix{Rows: 500, Cols: 331, BF16: ragged.BF16[:500*331]})
			c.MatMul(out, 300, x, 3, Matrix{Rows: 300, Cols: 331, BF16: ragged.BF16[:300*331]})
			c.Attend(out[:64], x[:64], pages, pages, 50, 1, x[100:200])
			c.RMSNorm(out, x, x, 1, 1)
			c.SiluMul(out, x, x)
			c.Rope(out[:64], x[:32], x[:32])
			c.Parallel(10, heads)
			c.Argmax(x)
		}); got != 0 {
			t.Errorf("%v allocations", got)
		}
	})
}
