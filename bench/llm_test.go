package bench

import (
	"bytes"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/spotserve/spotserve/engine/kernel"
	"github.com/spotserve/spotserve/engine/kv"
	"github.com/spotserve/spotserve/engine/llm"
	"github.com/spotserve/spotserve/engine/llm/cluster"
	"github.com/spotserve/spotserve/engine/model"
)

// hundred is a Llama of 100 million parameters.
func hundred(t model.DType) model.Config {
	return model.Config{
		Name: "100M", Layers: 12, Hidden: 768, Heads: 12, KVHeads: 4, HeadDim: 64, FFN: 2048, Vocab: 16000, Context: 1024,
		NormEps: 1e-5, Rope: model.Rope{Theta: 10000}, DType: t, Leaves: 4, BOS: -1,
	}
}

// weightsOf has the weights of hundred, which take seconds to make.
var weightsOf = [...]func() (func(model.BlobID) []byte, error){
	model.F32:  sync.OnceValues(func() (func(model.BlobID) []byte, error) { return synthetic(model.F32) }),
	model.BF16: sync.OnceValues(func() (func(model.BlobID) []byte, error) { return synthetic(model.BF16) }),
}

func synthetic(t model.DType) (func(model.BlobID) []byte, error) {
	source, err := model.Synthetic(hundred(t), 1)
	if err != nil {
		return nil, err
	}
	all, err := cluster.Load(source)
	if err != nil {
		return nil, err
	}
	return all.Blob, nil
}

// whole is all of hundred in one shard.
func whole(b *testing.B, t model.DType, threads int) *llm.Shard {
	b.Helper()
	c := hundred(t)
	blob, err := weightsOf[t]()
	if err != nil {
		b.Fatal(err)
	}
	cache, err := kv.New(kv.Options{Config: c, MaxBytes: 1 << 30})
	if err != nil {
		b.Fatal(err)
	}
	cpu := kernel.New(kernel.Options{Threads: threads, Wait: kernel.Spin})
	b.Cleanup(cpu.Close)
	s, err := llm.NewShard(llm.Options{Config: c, Layers: [2]int{0, c.Layers}, Leaves: [2]int{0, c.Leaves}, Blob: blob, KV: cache, CPU: cpu})
	if err != nil {
		b.Fatal(err)
	}
	return s
}

func step(b *testing.B, s *llm.Shard, batch []llm.Sequence) {
	ctx := b.Context()
	x, err := s.Embed(ctx, llm.Alone{}, batch)
	if err == nil {
		err = s.Forward(ctx, llm.Alone{}, batch, x)
	}
	if err == nil {
		_, err = s.Next(ctx, llm.Alone{}, batch, x)
	}
	if err != nil {
		b.Fatal(err)
	}
}

func tokens(n int) []int32 {
	out := make([]int32, n)
	for i := range out {
		out[i] = int32(i * 7919 % 16000)
	}
	return out
}

func eachShard(b *testing.B, f func(b *testing.B, s *llm.Shard, threads int)) {
	b.Helper()
	for _, t := range []model.DType{model.F32, model.BF16} {
		for _, threads := range []int{1, 2} {
			b.Run(fmt.Sprintf("%v/threads=%d", t, threads), func(b *testing.B) { f(b, whole(b, t, threads), threads) })
		}
	}
}

// BenchmarkDecode is one token of each sequence of a batch at position 128, beside
// reading as many bytes of weights, all but the embedding, by the standard
// library's assembly.
func BenchmarkDecode(b *testing.B) {
	eachShard(b, func(b *testing.B, s *llm.Shard, threads int) {
		reader := kernel.New(kernel.Options{Threads: threads, Wait: kernel.Spin})
		defer reader.Close()
		c := s.Config()
		weights := bytes.Repeat([]byte{1}, int(c.WeightBytes())-c.Vocab*c.Hidden*c.DType.Bytes())
		for _, size := range []int{1, 4, 8} {
			b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
				var batch []llm.Sequence
				for id := range size {
					step(b, s, []llm.Sequence{{ID: uint64(id), Tokens: tokens(128)}})
					batch = append(batch, llm.Sequence{ID: uint64(id), Start: 128, Tokens: []int32{int32(id)}, Sample: true})
				}
				var took, read best
				for b.Loop() {
					took.time(func() { step(b, s, batch) })
					read.time(func() {
						piece := len(weights) / threads
						reader.Parallel(threads, func(t int) { bytes.IndexByte(weights[t*piece:(t+1)*piece], 0) })
					})
				}
				b.ReportMetric(float64(size)/time.Duration(took).Seconds(), "tok/s")
				b.ReportMetric(float64(read)/float64(took), "of-read")
			})
		}
	})
}

// BenchmarkPrefill is a prompt of 128 tokens at once.
func BenchmarkPrefill(b *testing.B) {
	eachShard(b, func(b *testing.B, s *llm.Shard, _ int) {
		batch := []llm.Sequence{{ID: 1, Tokens: tokens(128), Sample: true}}
		var took best
		for b.Loop() {
			took.time(func() { step(b, s, batch) })
		}
		b.ReportMetric(128/time.Duration(took).Seconds(), "tok/s")
	})
}
