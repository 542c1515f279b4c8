package cost_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/internal/fixture"
	"github.com/spotserve/spotserve/core/topology"
)

// TestContinuousByHand works the latencies between and beyond the rows out on
// paper: three stages of ceil(10/3) = 4 layers, two borders, a fix factor of 2.
func TestContinuousByHand(t *testing.T) {
	l, err := cost.NewLatencyModel(byHand())
	if err != nil {
		t.Fatal(err)
	}
	config := topology.ParallelConfig{Data: 1, Pipeline: 3, Tensor: 2, PrefillMicroBatches: 4, DecodeMicroBatches: 2}
	ms := func(v float64) time.Duration { return time.Duration(math.Round(2 * v * 1e6)) }
	for _, tt := range []struct {
		n                      int
		prefill, decode, embed float64 // milliseconds: a layer, a layer, in all
	}{
		{1, 10, 1, 1},
		{2, 18, 1.5, 3},
		{3, 24, 1.75, 4}, // half-way between the rows of 2 and 4
		{4, 30, 2, 5},    // a row
		{6, 42, 2.5, 7},  // on with the slopes 6, 0.25 and 1
		{12, 78, 4, 13},  // far beyond
		{0, 0, 0, 0},     // nobody
		{-1, 0, 0, 0},    // less than nobody
	} {
		wantIteration, wantJoin := ms(tt.decode*12+4*2), ms(tt.prefill*12+8*2+2*tt.embed)
		if tt.n <= 0 {
			wantIteration, wantJoin = 0, 0
		}
		if got := l.Iteration(config, tt.n); got != wantIteration {
			t.Errorf("t2(%d) = %s, want %s", tt.n, got, wantIteration)
		}
		if got := l.JoinPrefill(config, tt.n, tt.n*100); got != wantJoin {
			t.Errorf("%d prompts of 100 tokens join in %s, want %s", tt.n, got, wantJoin)
		}
		if tt.n <= 0 {
			continue
		}
		// Prompts of half the length on average take half the time, but for e.
		if got, want := l.JoinPrefill(config, tt.n, tt.n*50), ms((tt.prefill*12+8*2)/2+2*tt.embed); got != want {
			t.Errorf("%d prompts of 50 tokens join in %s, want %s", tt.n, got, want)
		}
		want := float64(tt.n)*2*(10*12+8*2+2*1)/1e3 + 7*2*(tt.decode*12+4*2)/1e3
		if got := l.ContinuousSeconds(config, tt.n, 100, 7); math.Abs(got-want) > 1e-12 {
			t.Errorf("a request among %d takes %v s, want %v", tt.n, got, want)
		}
	}
}

// TestContinuousAloneIsABatchOfOne: with nobody else in the batch, continuous
// batching changes nothing.
func TestContinuousAloneIsABatchOfOne(t *testing.T) {
	spec := fixture.GPT20B()
	l := latencyOf(t, spec)
	config := topology.ParallelConfig{Data: 1, Pipeline: 3, Tensor: 4, PrefillMicroBatches: 1, DecodeMicroBatches: 1}
	for _, prompt := range []int{1, 512, 700} {
		got, want := l.ContinuousSeconds(config, 1, prompt, 128), l.BatchSeconds(config, 1, prompt, 128)
		if math.Abs(got-want) > 1e-9 {
			t.Errorf("a prompt of %d tokens takes %v s alone, in a batch of one %v", prompt, got, want)
		}
	}
}

// TestARowIsExact: at a profiled batch size the phases are those of the static
// model without micro-batches, to the bit.
func TestARowIsExact(t *testing.T) {
	spec := fixture.OPT6B7()
	l := latencyOf(t, spec)
	for _, tensor := range []int{1, 2, 4, 8, 16} {
		for _, n := range []int{1, 2, 4, 8} {
			config := topology.ParallelConfig{Data: 1, Pipeline: 2, Tensor: tensor, PrefillMicroBatches: 1, DecodeMicroBatches: 1}
			if got, want := l.Iteration(config, n), l.Decode(config, n); got != want {
				t.Errorf("%s: t2(%d) = %s, profiled %s", config, n, got, want)
			}
			if got, want := l.JoinPrefill(config, n, n*512), l.Prefill(config, n)+l.Embed(n); (got - want).Abs() > 1 {
				t.Errorf("%s: %d prompts join in %s, profiled %s", config, n, got, want)
			}
		}
	}
}

// TestMoreRequestsNeverTakeLess, nor longer ones, nor a profile of slower rows,
// where the rows ascend.
func TestMoreRequestsNeverTakeLess(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 5))
	for range 500 {
		m, p := byHand()
		p.Embed = nil
		e := 0.0
		for range 1 + r.IntN(4) {
			e += r.Float64()
			p.Embed = append(p.Embed, e)
		}
		var rows []cost.PhaseLatency
		row := cost.PhaseLatency{Prefill: 1, Decode: 1}
		for range 1 + r.IntN(5) {
			row.Batch += 1 + r.IntN(9)
			row.Prefill += 10 * r.Float64()
			row.Decode += r.Float64() * float64(r.IntN(2)) // flat here and there
			rows = append(rows, row)
		}
		r.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
		p.Tensors = []cost.TensorProfile{{Tensor: 2, Rows: rows}}
		l, err := cost.NewLatencyModel(m, p)
		if err != nil {
			t.Fatal(err)
		}
		config := topology.ParallelConfig{Data: 1, Pipeline: 1 + r.IntN(4), Tensor: 2}
		prompt, output := 1+r.IntN(300), 1+r.IntN(300)
		for n := 1; n < 80; n++ {
			if l.Iteration(config, n+1) < l.Iteration(config, n) {
				t.Fatalf("%+v: t2(%d) = %s, t2(%d) = %s", rows, n, l.Iteration(config, n), n+1, l.Iteration(config, n+1))
			}
			if a, b := l.JoinPrefill(config, n, n*prompt), l.JoinPrefill(config, n+1, (n+1)*prompt); b < a {
				t.Fatalf("%+v: %d join in %s, one more in %s", rows, n, a, b)
			}
			if a, b := l.ContinuousSeconds(config, n, prompt, output), l.ContinuousSeconds(config, n+1, prompt, output); b < a {
				t.Fatalf("%+v: among %d %v s, among one more %v s", rows, n, a, b)
			}
			if l.JoinPrefill(config, n, n*prompt+1) < l.JoinPrefill(config, n, n*prompt) {
				t.Fatalf("%+v: %d prompts with a token more join sooner", rows, n)
			}
		}
	}
}

func TestCoversTensor(t *testing.T) {
	l, err := cost.NewLatencyModel(byHand())
	if err != nil {
		t.Fatal(err)
	}
	for tensor, want := range map[int]bool{0: false, 1: false, 2: true, 4: false} {
		config := topology.ParallelConfig{Data: 1, Pipeline: 1, Tensor: tensor}
		if got := l.CoversTensor(config); got != want {
			t.Errorf("covers %d shards: %t, want %t", tensor, got, want)
		}
		if !want && (l.Iteration(config, 1) != 0 || l.JoinPrefill(config, 1, 0) != 2*2*time.Millisecond) {
			t.Errorf("prices %d shards, which were not measured: %s and %s", tensor, l.Iteration(config, 1), l.JoinPrefill(config, 1, 0))
		}
	}
}
