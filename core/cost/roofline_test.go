package cost_test

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/topology"
)

// roundNumbers is a roofline whose terms can be worked out on paper: a GPU of
// 1000 bytes/s and 10,000 FLOP/s at full efficiency.
func roundNumbers() cost.Roofline {
	return cost.Roofline{
		GPU: cost.GPU{Name: "G", MemoryBytes: 1, MemoryBytesPerSecond: 1000, FP32FLOPS: 10_000},
		Architecture: cost.Architecture{
			Name: "m", Layers: 4, Hidden: 10, Heads: 4, KVHeads: 2, HeadDim: 5, FFN: 28, Gated: true, Vocabulary: 100, BytesPerElement: 4,
		},
		Links: cost.Links{
			GPUsPerNode: 2,
			Intra:       cost.Link{BytesPerSecond: 100, Latency: time.Second},
			Inter:       cost.Link{BytesPerSecond: 10, Latency: 3 * time.Second},
		},
		Efficiencies: cost.Efficiencies{Compute: 1, Memory: 1, Link: 1, LayerOverhead: 7 * time.Second},
	}
}

// TestRooflineByHand works each term out on paper. A layer has 1440 weights; the
// prompt is of 3 tokens.
func TestRooflineByHand(t *testing.T) {
	p, err := roundNumbers().Profile(3, 4, 1)
	if err != nil {
		t.Fatal(err)
	}
	for i, tt := range []struct{ prefill, decode float64 }{
		// One GPU. Prefill: 3*(2*1440 + 4*3*20) = 9360 operations take 0.936 s, and
		// 1440*4 + 3*80 = 6000 bytes take 6 s. Decode: 1440*4 + 3*80 bytes, and of
		// the 4000 bytes of the output projection a quarter a layer.
		{6 + 7, 6 + 1 + 7},
		// Two GPUs of a node, half of it each; a ring of two steps by two
		// all-reduces: prefill 120 bytes in halves, decode 40.
		{3 + 2*2*(1+0.6) + 7, 3 + 0.5 + 2*2*(1+0.2) + 7},
		// Four GPUs on two nodes. There are two KV heads, so each GPU keeps one: as
		// many bytes as with two GPUs. Six steps over the network.
		{1.44 + 0.12 + 2*6*(3+3) + 7, 1.44 + 0.12 + 0.25 + 2*6*(3+1) + 7},
	} {
		row := p.Tensors[i].Rows[0]
		if math.Abs(row.Prefill/1e3-tt.prefill) > 1e-9 || math.Abs(row.Decode/1e3-tt.decode) > 1e-9 {
			t.Errorf("tensor %d: prefill %.4f s, decode %.4f s, want %.4f and %.4f", p.Tensors[i].Tensor, row.Prefill/1e3, row.Decode/1e3, tt.prefill, tt.decode)
		}
	}
	// A border: latency and 3 tokens of 40 bytes, or one.
	if p.PrefillComm != 15e3 || p.DecodeComm != 7e3 {
		t.Errorf("stage borders take %v and %v ms, want 15000 and 7000", p.PrefillComm, p.DecodeComm)
	}
	// Half of 2*3*40 bytes of lookups and 4000 of the projection.
	if math.Abs(p.Embed[0]-1e3*(0.24+4)/2) > 1e-6 {
		t.Errorf("embedding takes %v ms", p.Embed[0])
	}
}

// TestRooflineBound: a prompt on a GPU with little compute is bound by
// operations, and a longer context only costs the decoding.
func TestRooflineBound(t *testing.T) {
	r := roundNumbers()
	r.GPU.FP32FLOPS = 100
	slow, err := r.Profile(3, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := slow.Tensors[0].Rows[0].Prefill, 1e3*(93.6+7); math.Abs(got-want) > 1e-6 {
		t.Errorf("prefill takes %v ms, want %v", got, want)
	}
	r = roundNumbers()
	r.DecodeContext = 103
	long, err := r.Profile(3, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := long.Tensors[0].Rows[0], (cost.PhaseLatency{Batch: 1, Prefill: 13e3, Decode: 22e3}); math.Abs(got.Prefill-want.Prefill)+math.Abs(got.Decode-want.Decode) > 1e-6 {
		t.Errorf("with 100 tokens more of context: %+v, want %+v", got, want)
	}
}

// drawn is a random roofline of plausible size.
func drawn(rng *rand.Rand) cost.Roofline {
	between := func(low, high float64) float64 { return low * math.Pow(high/low, rng.Float64()) }
	heads := 1 << (3 + rng.IntN(4))
	return cost.Roofline{
		GPU: cost.GPU{
			Name: "drawn", MemoryBytes: 1 << 34, MemoryBytesPerSecond: between(1e11, 5e12),
			FP32FLOPS: between(5e12, 1e14), FP16FLOPS: between(5e13, 1e15),
		},
		Architecture: cost.Architecture{
			Name: "drawn", Layers: 1 + rng.IntN(100), Hidden: 128 * heads, Heads: heads, KVHeads: 1 << rng.IntN(4), HeadDim: 64 << rng.IntN(2),
			FFN: 512 * heads, Gated: rng.IntN(2) == 0, Vocabulary: 1 + rng.IntN(200_000), BytesPerElement: 1 << rng.IntN(3),
		},
		Links: cost.Links{
			GPUsPerNode: 1 << rng.IntN(4),
			Intra:       cost.Link{BytesPerSecond: between(1e9, 1e12), Latency: time.Duration(rng.IntN(30_000))},
			Inter:       cost.Link{BytesPerSecond: between(1e9, 1e11), Latency: time.Duration(rng.IntN(60_000))},
		},
		Efficiencies:  cost.DefaultEfficiencies(),
		DecodeContext: rng.IntN(4096),
	}
}

// rows are the numbers of a profile in one order, larger is slower.
func rows(t *testing.T, r cost.Roofline) []float64 {
	t.Helper()
	p, err := r.Profile(512, 8, 64)
	if err != nil {
		t.Fatal(err)
	}
	out := append([]float64{p.PrefillComm, p.DecodeComm}, p.Embed...)
	for _, tensor := range p.Tensors {
		for _, row := range tensor.Rows {
			out = append(out, row.Prefill, row.Decode)
		}
	}
	return out
}

// TestBetterHardwareIsNeverSlower improves one number at a time.
func TestBetterHardwareIsNeverSlower(t *testing.T) {
	improvements := map[string]func(*cost.Roofline){
		"memory bandwidth":    func(r *cost.Roofline) { r.GPU.MemoryBytesPerSecond *= 2 },
		"compute":             func(r *cost.Roofline) { r.GPU.FP32FLOPS *= 2; r.GPU.FP16FLOPS *= 2 },
		"link in a node":      func(r *cost.Roofline) { r.Links.Intra.BytesPerSecond *= 2 },
		"network":             func(r *cost.Roofline) { r.Links.Inter.BytesPerSecond *= 2 },
		"latency in a node":   func(r *cost.Roofline) { r.Links.Intra.Latency /= 2 },
		"latency of network":  func(r *cost.Roofline) { r.Links.Inter.Latency /= 2 },
		"compute efficiency":  func(r *cost.Roofline) { r.Efficiencies.Compute = 0.9 },
		"memory efficiency":   func(r *cost.Roofline) { r.Efficiencies.Memory = 0.9 },
		"link efficiency":     func(r *cost.Roofline) { r.Efficiencies.Link = 0.9 },
		"kernel launches":     func(r *cost.Roofline) { r.Efficiencies.LayerOverhead /= 2 },
		"a shorter context":   func(r *cost.Roofline) { r.DecodeContext = 1 },
		"a smaller model":     func(r *cost.Roofline) { r.Architecture.FFN /= 2 },
		"a smaller token set": func(r *cost.Roofline) { r.Architecture.Vocabulary = 1 },
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		base := drawn(rng)
		before := rows(t, base)
		for name, improve := range improvements {
			better := base
			improve(&better)
			for i, after := range rows(t, better) {
				if after > before[i]*(1+1e-12) {
					t.Fatalf("%s: number %d rises from %v to %v in %+v", name, i, before[i], after, base)
				}
			}
		}
	}
}

// TestRooflineOrder: a larger batch takes no less time and no more a request, and
// a larger tensor degree takes no more time where messages cost nothing.
func TestRooflineOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		r := drawn(rng)
		p, err := r.Profile(512, 8, 64)
		if err != nil {
			t.Fatal(err)
		}
		for _, tensor := range p.Tensors {
			for i := 1; i < len(tensor.Rows); i++ {
				small, large := tensor.Rows[i-1], tensor.Rows[i]
				if large.Prefill < small.Prefill || large.Decode < small.Decode {
					t.Fatalf("tensor %d: %+v is faster than %+v", tensor.Tensor, large, small)
				}
				if large.Prefill > 2*small.Prefill*(1+1e-12) || large.Decode > 2*small.Decode*(1+1e-12) {
					t.Fatalf("tensor %d: %+v takes more than twice %+v", tensor.Tensor, large, small)
				}
			}
		}
		free := cost.Link{BytesPerSecond: math.MaxFloat64}
		r.Links.Intra, r.Links.Inter = free, free
		if p, err = r.Profile(512, 8, 64); err != nil {
			t.Fatal(err)
		}
		for i := 1; i < len(p.Tensors); i++ {
			for j, large := range p.Tensors[i].Rows {
				small := p.Tensors[i-1].Rows[j]
				if large.Prefill > small.Prefill || large.Decode > small.Decode {
					t.Fatalf("without messages tensor %d takes %+v, half of it %+v", p.Tensors[i].Tensor, large, small)
				}
			}
		}
	}
}

// TestRooflineProfilePricesBatches: an estimated profile does for the latency
// model what a measured one does.
func TestRooflineProfilePricesBatches(t *testing.T) {
	r := cost.Roofline{
		GPU:          cost.GPU{Name: "A100-80", MemoryBytes: 80e9, MemoryBytesPerSecond: 2.039e12, FP32FLOPS: 19.5e12, FP16FLOPS: 312e12},
		Architecture: llama7B(),
		Links: cost.Links{
			GPUsPerNode: 8, Intra: cost.Link{BytesPerSecond: 300e9, Latency: cost.DefaultIntraLatency},
			Inter: cost.Link{BytesPerSecond: 12.5e9, Latency: cost.DefaultInterLatency},
		},
		Efficiencies: cost.DefaultEfficiencies(),
	}
	p, err := r.Profile(512, 8, 48)
	if err != nil {
		t.Fatal(err)
	}
	if rows := p.Tensors[0].Rows; rows[len(rows)-1].Batch != 64 || len(p.Embed) != 7 || p.MaxTensor != 8 || len(p.Tensors) != 4 {
		t.Errorf("profile for batches of 48 on 8 GPUs: %+v", p)
	}
	l, err := cost.NewLatencyModel(r.Architecture.Model(), p)
	if err != nil {
		t.Fatal(err)
	}
	one := topology.ParallelConfig{Data: 1, Pipeline: 1, Tensor: 1, PrefillMicroBatches: 1, DecodeMicroBatches: 1}
	if !l.Covers(one, 64) {
		t.Fatal("the profile does not cover a batch of 64")
	}
	// 13.2 GB of weights at 80 % of 2.04 TB/s are 8.1 ms a token. Launches and the
	// rest of an iteration add to that, but do not double it.
	if got := l.Decode(one, 1); got < 8*time.Millisecond || got > 16*time.Millisecond {
		t.Errorf("a token takes %s", got)
	}
}

func TestRooflineRefuses(t *testing.T) {
	for _, tt := range []struct {
		spoil                 func(*cost.Roofline)
		prompt, tensor, batch int
		want                  string
	}{
		{nil, 0, 1, 1, "prompt of 0 tokens"},
		{nil, 3, 1, 0, "largest batch is 0"},
		{nil, 3, 3, 1, "tensor degree 3"},
		{nil, 3, 8, 1, "powers of two from 1 to 4, which share its 4 heads and its FFN width 28 evenly"},
		{func(r *cost.Roofline) { r.GPU.MemoryBytesPerSecond = math.NaN() }, 3, 1, 1, "GPU G: memory bandwidth of NaN"},
		{func(r *cost.Roofline) { r.GPU.FP32FLOPS = 0 }, 3, 1, 1, "GPU G: FP32 rate of 0"},
		{func(r *cost.Roofline) { r.GPU.FP8FLOPS = -1 }, 3, 1, 1, "rate of -1 FLOP/s"},
		{func(r *cost.Roofline) { r.GPU.MemoryBytes = 0 }, 3, 1, 1, "memory of 0 bytes"},
		{func(r *cost.Roofline) { r.Architecture.Hidden = 0 }, 3, 1, 1, "hidden is 0"},
		{func(r *cost.Roofline) { r.Links.GPUsPerNode = 0 }, 3, 1, 1, "0 GPUs a node"},
		{func(r *cost.Roofline) { r.Links.Inter.BytesPerSecond = math.Inf(1) }, 3, 1, 1, "links between nodes: +Inf bytes/s"},
		{func(r *cost.Roofline) { r.Links.Intra.Latency = -1 }, 3, 1, 1, "links inside a node: latency -1ns"},
		{func(r *cost.Roofline) { r.Efficiencies.Compute = 1.2 }, 3, 1, 1, "compute efficiency is 1.2"},
		{func(r *cost.Roofline) { r.Efficiencies.Memory = math.NaN() }, 3, 1, 1, "memory efficiency is NaN"},
		{func(r *cost.Roofline) { r.Efficiencies.LayerOverhead = -1 }, 3, 1, 1, "layer overhead is -1ns"},
		{func(r *cost.Roofline) { r.DecodeContext = -1 }, 3, 1, 1, "decode context is -1 tokens"},
	} {
		r := roundNumbers()
		if tt.spoil != nil {
			tt.spoil(&r)
		}
		if _, err := r.Profile(tt.prompt, tt.tensor, tt.batch); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v, want an error with %q", err, tt.want)
		}
	}
}

func TestPeakFallsBackToWiderElements(t *testing.T) {
	for _, tt := range []struct {
		gpu  cost.GPU
		want [3]float64 // elements of 1, 2, 4 bytes
	}{
		{cost.GPU{FP32FLOPS: 1}, [3]float64{1, 1, 1}},
		{cost.GPU{FP32FLOPS: 1, FP16FLOPS: 2}, [3]float64{2, 2, 1}},
		{cost.GPU{FP32FLOPS: 1, FP16FLOPS: 2, FP8FLOPS: 4}, [3]float64{4, 2, 1}},
	} {
		for i, bytes := range []int{1, 2, 4} {
			if got := tt.gpu.Peak(bytes); got != tt.want[i] {
				t.Errorf("%+v: %v FLOP/s for %d bytes, want %v", tt.gpu, got, bytes, tt.want[i])
			}
		}
	}
}

func TestLinksOfAnInstance(t *testing.T) {
	got := cost.LinksOf(cost.InstanceType{GPUs: 4, IntraNodeBytesPerSecond: 5, InterNodeBytesPerSecond: 3})
	want := cost.Links{
		GPUsPerNode: 4,
		Intra:       cost.Link{BytesPerSecond: 5, Latency: cost.DefaultIntraLatency},
		Inter:       cost.Link{BytesPerSecond: 3, Latency: cost.DefaultInterLatency},
	}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
