package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// eachCPU runs f on every level, numbers of threads and ways to wait.
func eachCPU(t *testing.T, f func(t *testing.T, c *CPU)) {
	t.Helper()
	for _, l := range Levels() {
		for _, o := range []Options{{l, 1, Block}, {l, 2, Spin}, {l, 5, Block}} {
			t.Run(fmt.Sprintf("%v/%d", l, o.Threads), func(t *testing.T) {
				c := New(o)
				defer c.Close()
				if c.Level() != l || c.Threads() != o.Threads {
					t.Fatalf("has level %v and %d threads", c.Level(), c.Threads())
				}
				f(t, c)
			})
		}
	}
}

// A token's results are the same alone and among others, on any threads.
func TestMatMulOfOneTokenIsThatOfMany(t *testing.T) {
	eachCPU(t, func(t *testing.T, c *CPU) {
		r := rand.New(rand.NewPCG(11, 12))
		for _, shape := range [][3]int{{399, 600, 1}, {177, 768, 2}, {66, 1024, 7}, {16, 5000, 13}, {9, 3000, 43}, {3, 12000, 7}, {9, 0, 2}} {
			rows, cols, n := shape[0], shape[1], shape[2]
			w := Matrix{Rows: rows, Cols: cols, F32: values(r, rows*cols)}
			if r.IntN(2) == 0 {
				w.BF16, w.F32 = bf16s(w.F32), nil
			}
			x := values(r, n*cols)
			stride := rows + 3
			got := make([]float32, n*stride)
			c.MatMul(got, stride, x, n, w)
			want := make([]float32, rows)
			for token := range n {
				one := x[token*cols : (token+1)*cols]
				matMulGeneric(want, rows, one, 1, w, 0, rows)
				mustEqual(t, fmt.Sprintf("token %d of %v", token, shape), got[token*stride:], want)
				c.MatMul(want, rows, one, 1, w)
				mustEqual(t, fmt.Sprintf("token %d of %v, alone", token, shape), want, got[token*stride:][:rows])
			}
		}
	})
}

func TestMatMulSplitsRowsAsItLikes(t *testing.T) {
	for _, rows := range []int{1, 7, 8, 9, 100, 5000} {
		for _, each := range []int{0, 1, 1000, 1 << 20} {
			for _, threads := range []int{1, 2, 16} {
				if g := rowGrain(rows, each, threads); g <= 0 || g%rowsPerTile != 0 {
					t.Errorf("rowGrain(%d, %d, %d) = %d, want a positive multiple of %d", rows, each, threads, g, rowsPerTile)
				}
			}
		}
	}
}

// attendNaive says what attention is, in the order that the package promises.
func attendNaive(q []float32, keys, values [][]float32, tokens int, scaling float32) []float32 {
	d := len(q)
	page := len(keys[0]) / d
	p := make([]float32, tokens)
	largest := float32(math.Inf(-1))
	for t := range p {
		p[t] = float32(Dot(keys[t/page][t%page*d:][:d], q) * scaling)
		if p[t] > largest {
			largest = p[t]
		}
	}
	var sums [lanes]float32
	for t := range p {
		p[t] = Exp(p[t] - largest)
		sums[t%lanes] += p[t]
	}
	sum := fold(&sums)
	out := make([]float32, d)
	for i := range out {
		for t := range p {
			out[i] = fma32(p[t], values[t/page][t%page*d+i], out[i])
		}
		out[i] /= sum
	}
	return out
}

func TestAttend(t *testing.T) {
	eachCPU(t, func(t *testing.T, c *CPU) {
		r := rand.New(rand.NewPCG(13, 14))
		for range 20 {
			d, page, tokens := 2*(1+r.IntN(70)), 1+r.IntN(40), 1+r.IntN(200)
			var keys, vals [][]float32
			for from := 0; from < tokens; from += page {
				rows := page
				if from > 0 && r.IntN(2) == 0 {
					rows = min(page, tokens-from) // the last page may be short
				}
				keys, vals = append(keys, values(r, rows*d)), append(vals, values(r, rows*d))
			}
			q := values(r, d)
			out := make([]float32, d)
			c.Attend(out, q, keys, vals, tokens, 0.3, make([]float32, tokens))
			mustEqual(t, fmt.Sprintf("%d tokens of %d in pages of %d", tokens, d, page), out, attendNaive(q, keys, vals, tokens, 0.3))
		}
		out := []float32{1, 2}
		c.Attend(out, []float32{1, 1}, nil, nil, 0, 1, nil)
		mustEqual(t, "no tokens", out, []float32{0, 0})
	})
}

// Attention is an average: of equal scores the mean, of one large score its value.
func TestAttendAverages(t *testing.T) {
	eachCPU(t, func(t *testing.T, c *CPU) {
		out, scores := make([]float32, 2), make([]float32, 3)
		vals := [][]float32{{1, 10, 2, 20, 6, 60}}
		c.Attend(out, []float32{0, 0}, [][]float32{{5, 1, 7, 2, 8, 3}}, vals, 3, 1, scores)
		mustEqual(t, "equal scores", out, []float32{3, 30})
		c.Attend(out, []float32{1, 0}, [][]float32{{0, 1, 0, 2, 500, 3}}, vals, 3, 1, scores)
		mustEqual(t, "one score", out, []float32{6, 60})
		c.Attend(out, []float32{1, 0}, [][]float32{{0, 1, 0, 2, 500, 3}}, vals, 2, 1, scores)
		mustEqual(t, "two of three tokens", out, []float32{1.5, 15})
	})
}

func TestRMSNorm(t *testing.T) {
	eachCPU(t, func(t *testing.T, c *CPU) {
		r := rand.New(rand.NewPCG(15, 16))
		for range 100 {
			d, n := 1+r.IntN(300), 1+r.IntN(4)
			x, weight := values(r, n*d), values(r, d)
			got := slices.Clone(x)
			c.RMSNorm(got, got, weight, n, 1e-5)
			for token := range n {
				row := x[token*d : (token+1)*d]
				mean := Dot(row, row) / float32(d)
				inverse := 1 / float32(math.Sqrt(float64(mean+1e-5)))
				want := make([]float32, d)
				for i, v := range row {
					want[i] = float32(v*inverse) * weight[i]
				}
				mustEqual(t, "norm", got[token*d:(token+1)*d], want)
			}
		}
		out := make([]float32, 2)
		c.RMSNorm(out, []float32{3, -3}, []float32{2, 4}, 1, 0)
		mustEqual(t, "norm of equal sizes", out, []float32{2, -4})
	})
}

func TestRope(t *testing.T) {
	eachCPU(t, func(t *testing.T, c *CPU) {
		head := []float32{1, 2, 3, 4, 0, 0, 0, 0}
		// By 0, 90, 180 and 270 degrees.
		c.Rope(head, []float32{1, 0, -1, 0}, []float32{0, 1, 0, -1})
		mustEqual(t, "head", head, []float32{1, 0, -3, 0, 0, 2, 0, -4})
		r := rand.New(rand.NewPCG(17, 18))
		for _, half := range []int{16, 32, 40, 64} {
			head, cos, sin := values(r, 2*half), values(r, half), values(r, half)
			want := slices.Clone(head)
			ropeGeneric(want[:half], want[half:], cos, sin)
			c.Rope(head, cos, sin)
			mustEqual(t, "head", head, want)
		}
	})
}

func TestSiluMulAndAdd(t *testing.T) {
	eachCPU(t, func(t *testing.T, c *CPU) {
		gate, up := []float32{0, 1, -1, 30, -200}, []float32{5, 2, 2, 2, 1}
		want := make([]float32, len(gate))
		for i, g := range gate {
			want[i] = float32(g/(1+Exp(-g))) * up[i]
			if exact := float64(g) / (1 + math.Exp(-float64(g))) * float64(up[i]); math.Abs(float64(want[i])-exact) > 1e-6*math.Abs(exact)+1e-30 {
				t.Errorf("silu(%v)*%v = %v, want about %v", g, up[i], want[i], exact)
			}
		}
		got := slices.Clone(gate)
		c.SiluMul(got, got, up)
		mustEqual(t, "silu", got, want)
		dst := []float32{1, 2, 3}
		c.Add(dst, []float32{10, 20})
		mustEqual(t, "sum", dst, []float32{11, 22, 3})
	})
}

func TestArgmax(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	eachCPU(t, func(t *testing.T, c *CPU) {
		for _, m := range []struct {
			x     []float32
			index int
			value float32
		}{
			{nil, -1, -inf},
			{[]float32{nan, nan}, -1, -inf},
			{[]float32{-inf, nan}, 0, -inf},
			{[]float32{3, 7, 7, 1}, 1, 7},
			{[]float32{nan, -2, nan, -1, inf, inf}, 4, inf},
			{[]float32{float32(math.Copysign(0, -1)), 0}, 0, 0},
		} {
			for _, front := range []int{0, 1, 15, 16, 33, 100} { // at any place of a vector
				x := slices.Concat(slices.Repeat([]float32{nan}, front), m.x, slices.Repeat([]float32{nan}, front%7))
				want := m.index
				if want >= 0 {
					want += front
				}
				if i, v := c.Argmax(x); i != want || v != m.value {
					t.Errorf("Argmax(%v) = %d, %v, want %d, %v", x, i, v, want, m.value)
				}
			}
		}
	})
}

func TestMatrixCheck(t *testing.T) {
	f, b := make([]float32, 6), make([]uint16, 6)
	for _, c := range []struct {
		m    Matrix
		want string
	}{
		{Matrix{2, 3, f, nil}, ""},
		{Matrix{2, 3, nil, b}, ""},
		{Matrix{0, 3, nil, nil}, ""},
		{Matrix{2, 3, f, b}, "matrix of 2 rows and 3 columns: has both f32 and bf16 elements, must have one of them"},
		{Matrix{2, 4, nil, b}, "matrix of 2 rows and 4 columns: has 6 elements, must have 8"},
		{Matrix{2, 2, f, nil}, "matrix of 2 rows and 2 columns: has 6 elements, must have 4"},
		{Matrix{-1, 2, f, nil}, "matrix of -1 rows and 2 columns: neither may be negative"},
	} {
		got := ""
		if err := c.m.Check(); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("Check = %q, want %q", got, c.want)
		}
	}
}

func TestLevels(t *testing.T) {
	levels := Levels()
	if levels[len(levels)-1] != Generic || !slices.IsSortedFunc(levels, func(a, b Level) int { return int(b) - int(a) }) {
		t.Errorf("Levels = %v, want the best first and generic last", levels)
	}
	if got := usable(Best); got != levels[0] {
		t.Errorf("the best level is %v, want %v", got, levels[0])
	}
	for _, l := range []Level{Generic, AVX2, AVX512} {
		if got := usable(l); got > l || slices.Contains(levels, l) != (got == l) {
			t.Errorf("%v stands for %v, of %v", l, got, levels)
		}
	}
	if got := usable(AVX512 + 7); got != levels[0] {
		t.Errorf("a level above all stands for %v, want %v", got, levels[0])
	}
}
