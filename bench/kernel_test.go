package bench

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/spotserve/spotserve/engine/kernel"
)

// The engine's kernels. Their times are the best of all iterations, not the
// mean: on a machine that is shared, the mean tells about the others.

// best times f and keeps the shortest time that it took.
type best time.Duration

func (d *best) time(f func()) {
	from := time.Now()
	f()
	if took := best(time.Since(from)); *d == 0 || took < *d {
		*d = took
	}
}

// per is how many billions a second so many in the best time are.
func (d best) per(n int) float64 { return float64(n) / float64(max(d, 1)) }

func normals(n int, seed uint64) []float32 {
	r := rand.New(rand.NewPCG(seed, 1))
	out := make([]float32, n)
	for i := range out {
		out[i] = float32(r.NormFloat64())
	}
	return out
}

// matrices makes so many matrices with the same elements.
func matrices(count, rows, cols int, bf16 bool) []kernel.Matrix {
	elements := normals(rows*cols, 2)
	out := make([]kernel.Matrix, count)
	for i := range out {
		out[i] = kernel.Matrix{Rows: rows, Cols: cols}
		if !bf16 {
			out[i].F32 = slices.Clone(elements)
			continue
		}
		out[i].BF16 = make([]uint16, len(elements))
		for j, v := range elements {
			out[i].BF16[j] = kernel.ToBF16(v)
		}
	}
	return out
}

func dtype(bf16 bool) (name string, size int) {
	if bf16 {
		return "bf16", 2
	}
	return "f32", 4
}

func eachLevel(b *testing.B, threads []int, f func(b *testing.B, c *kernel.CPU)) {
	b.Helper()
	for _, level := range kernel.Levels() {
		for _, n := range threads {
			b.Run(fmt.Sprintf("%v/threads=%d", level, n), func(b *testing.B) {
				c := kernel.New(kernel.Options{Level: level, Threads: n, Wait: kernel.Spin})
				defer c.Close()
				f(b, c)
			})
		}
	}
}

// BenchmarkGEMV is a decode's product, one token by 4096x4096 weights that come
// from memory, beside reading as many bytes by the standard library's assembly
// and copying them, in turn.
func BenchmarkGEMV(b *testing.B) {
	const d, count = 4096, 4 // more than caches hold
	for _, bf16 := range []bool{false, true} {
		name, size := dtype(bf16)
		weights := matrices(count, d, d, bf16)
		x, out := normals(d, 3), make([]float32, d)
		source := bytes.Repeat([]byte{1}, d*d*size*count)
		target := make([]byte, d*d*size)
		b.Run(name, func(b *testing.B) {
			eachLevel(b, []int{1, 2}, func(b *testing.B, c *kernel.CPU) {
				var product, read, copied best
				found := false
				for i := 0; b.Loop(); i++ {
					product.time(func() { c.MatMul(out, d, x, 1, weights[i%count]) })
					part := source[i%count*len(target):][:len(target)]
					piece := len(part) / c.Threads()
					read.time(func() {
						c.Parallel(c.Threads(), func(t int) {
							if bytes.IndexByte(part[t*piece:(t+1)*piece], 0) >= 0 {
								found = true
							}
						})
					})
					copied.time(func() {
						c.Parallel(c.Threads(), func(t int) { copy(target[t*piece:(t+1)*piece], part[t*piece:]) })
					})
				}
				if found {
					b.Fatal("found what is not there")
				}
				b.ReportMetric(product.per(len(target)), "GB/s")
				b.ReportMetric(read.per(len(target)), "read-GB/s")
				b.ReportMetric(2*copied.per(len(target)), "copy-GB/s")
				b.ReportMetric(float64(read)/float64(product), "of-read")
			})
		})
	}
}

// BenchmarkProduct is products whose weights are in the caches: of a token, a
// batch that decodes, a prompt. They are small, so that some are not interrupted.
func BenchmarkProduct(b *testing.B) {
	for _, shape := range []struct{ rows, cols, tokens int }{
		{768, 768, 1}, {768, 768, 8}, {768, 768, 128}, {64, 2048, 128}, {64, 4096, 128},
	} {
		for _, bf16 := range []bool{false, true} {
			name, size := dtype(bf16)
			w := matrices(1, shape.rows, shape.cols, bf16)[0]
			x, out := normals(shape.tokens*shape.cols, 3), make([]float32, shape.tokens*shape.rows)
			b.Run(fmt.Sprintf("%dx%dx%d/%s", shape.rows, shape.cols, shape.tokens, name), func(b *testing.B) {
				eachLevel(b, []int{1, 2}, func(b *testing.B, c *kernel.CPU) {
					var product best
					for b.Loop() {
						product.time(func() { c.MatMul(out, shape.rows, x, shape.tokens, w) })
					}
					b.ReportMetric(2*product.per(shape.rows*shape.cols*shape.tokens), "GFLOP/s")
					b.ReportMetric(product.per(shape.rows*shape.cols*size), "GB/s")
				})
			})
		}
	}
}

// BenchmarkAttend is the attention of one head of 64 over 1024 tokens in pages of 32.
func BenchmarkAttend(b *testing.B) {
	const d, tokens, page = 64, 1024, 32
	q, out, scores := normals(d, 4), make([]float32, d), make([]float32, tokens)
	var keys, values [][]float32
	for p := range tokens / page {
		keys = append(keys, normals(page*d, uint64(5+p)))
		values = append(values, normals(page*d, uint64(500+p)))
	}
	eachLevel(b, []int{1}, func(b *testing.B, c *kernel.CPU) {
		var took best
		for b.Loop() {
			took.time(func() { c.Attend(out, q, keys, values, tokens, 0.125, scores) })
		}
		b.ReportMetric(4*took.per(d*tokens), "GFLOP/s")
		b.ReportMetric(took.per(2*d*tokens*int(unsafe.Sizeof(float32(0)))), "GB/s")
	})
}

// BenchmarkSilu is the activation of a feed-forward block.
func BenchmarkSilu(b *testing.B) {
	gate, up := normals(8192, 6), normals(8192, 7)
	out := make([]float32, len(gate))
	eachLevel(b, []int{1}, func(b *testing.B, c *kernel.CPU) {
		var took best
		for b.Loop() {
			took.time(func() { c.SiluMul(out, gate, up) })
		}
		b.ReportMetric(float64(took)/float64(len(gate)), "ns/element")
	})
}
