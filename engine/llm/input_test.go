package llm_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"sync"
	"testing"

	"github.com/spotserve/spotserve/engine/kernel"
	"github.com/spotserve/spotserve/engine/kv"
	"github.com/spotserve/spotserve/engine/llm"
	"github.com/spotserve/spotserve/engine/llm/cluster"
	"github.com/spotserve/spotserve/engine/model"
)

// TestBadBatches are refused before anything is computed, and the shards go on.
func TestBadBatches(t *testing.T) {
	c := small()
	r := newReference(t, c, 1, prompt(c, 1, 10), 1, llm.Sampling{})
	nan := float32(math.NaN())
	for name, tt := range map[string]struct {
		batch []llm.Sequence
		is    error
		says  string
	}{
		"nothing":                  {nil, llm.ErrInput, "no sequence"},
		"no tokens":                {[]llm.Sequence{{ID: 9}}, llm.ErrInput, "sequence 9 has no tokens"},
		"a token too large":        {[]llm.Sequence{{ID: 9, Tokens: []int32{1, 103}}}, llm.ErrInput, "token 103 of sequence 9 at position 1, model small has 0 to 102"},
		"a negative token":         {[]llm.Sequence{{ID: 9, Tokens: []int32{-1}}}, llm.ErrInput, "token -1"},
		"a negative position":      {[]llm.Sequence{{ID: 9, Start: -1, Tokens: []int32{1, 1}}}, llm.ErrInput, "positions -1 to 0"},
		"beyond the context":       {[]llm.Sequence{{ID: 9, Start: 599, Tokens: []int32{1, 1}}}, llm.ErrInput, "positions 599 to 600, model small takes 0 to 599"},
		"far beyond":               {[]llm.Sequence{{ID: 9, Start: math.MaxInt, Tokens: []int32{1}}}, llm.ErrInput, "takes 0 to 599"},
		"a sequence twice":         {[]llm.Sequence{{ID: 9, Tokens: []int32{1}}, {ID: 9, Tokens: []int32{1}}}, llm.ErrInput, "twice"},
		"a gap":                    {[]llm.Sequence{{ID: 1, Start: 11, Tokens: []int32{1}}}, kv.ErrGap, "position 11 of sequence 1 in layer 0, leaf 0: 10 are there"},
		"a start without a cache":  {[]llm.Sequence{{ID: 9, Start: 1, Tokens: []int32{1}}}, kv.ErrGap, "0 are there"},
		"temperature not a number": {[]llm.Sequence{{ID: 9, Tokens: []int32{1}, Sample: true, Sampling: llm.Sampling{Temperature: nan}}}, llm.ErrInput, "temperature is NaN"},
		"negative temperature":     {[]llm.Sequence{{ID: 9, Tokens: []int32{1}, Sample: true, Sampling: llm.Sampling{Temperature: -1}}}, llm.ErrInput, "temperature is -1"},
		"top_p above 1":            {[]llm.Sequence{{ID: 9, Tokens: []int32{1}, Sample: true, Sampling: llm.Sampling{Temperature: 1, TopP: 1.5}}}, llm.ErrInput, "top_p is 1.5"},
		"negative top_k":           {[]llm.Sequence{{ID: 9, Tokens: []int32{1}, Sample: true, Sampling: llm.Sampling{Temperature: 1, TopK: -1}}}, llm.ErrInput, "top_k is -1"},
	} {
		for _, x := range []cut{{pipeline: 1, tensor: 1}, {pipeline: 2, tensor: 2}} {
			k := newCluster(t, c, x.pipeline, x.tensor, kernel.Options{Threads: 1})
			checkLogits(t, name, k, []llm.Sequence{r.step(0, 10)}, r)
			_, err := k.Step(t.Context(), tt.batch)
			if !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%s: %v, want %v and %q", name, err, tt.is, tt.says)
			}
			checkLogits(t, name, k, []llm.Sequence{r.step(10, 1)}, r)
		}
	}
}

// TestFullCache: a batch that does not fit is refused whole; what was there stays.
func TestFullCache(t *testing.T) {
	c := small()
	page := kv.ExportBytes(c, kv.PageTokens)
	r := newReference(t, c, 1, prompt(c, 1, 31), 1, llm.Sampling{})
	for _, x := range cuts(c) {
		cells := (c.Layers + x.pipeline - 1) / x.pipeline * c.Leaves / x.tensor
		k, err := cluster.New(cluster.Options{
			Config: c, Blob: weights(t, c), Pipeline: x.pipeline, Tensor: x.tensor, CPU: x.cpu, KVBytes: int64(cells)*page*2 - 1,
		})
		if err != nil {
			t.Fatal(err)
		}
		checkLogits(t, x.String(), k, []llm.Sequence{r.step(0, 31)}, r)
		_, err = k.Step(t.Context(), []llm.Sequence{r.step(31, 1), {ID: 2, Tokens: []int32{1}, Sample: true}})
		if !errors.Is(err, kv.ErrFull) {
			t.Errorf("%v: a full cache says %v", x, err)
		}
		checkLogits(t, x.String(), k, []llm.Sequence{r.step(31, 1)}, r)
		k.Drop(1)
		if _, err = k.Step(t.Context(), []llm.Sequence{{ID: 2, Tokens: []int32{1}, Sample: true}}); err != nil {
			t.Errorf("%v: after the drop: %v", x, err)
		}
		k.Close()
	}
}

func TestBadShards(t *testing.T) {
	c := small()
	cache, err := kv.New(kv.Options{Config: c, MaxBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	other := c
	other.HeadDim = 8
	foreign, err := kv.New(kv.Options{Config: other, MaxBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	cpu := kernel.New(kernel.Options{Threads: 1})
	defer cpu.Close()
	blob := weights(t, c)
	good := llm.Options{Config: c, Layers: [2]int{0, 4}, Leaves: [2]int{0, 4}, Blob: blob, KV: cache, CPU: cpu}
	for says, change := range map[string]func(o *llm.Options){
		"layers 2 to 4":              func(o *llm.Options) { o.Layers = [2]int{2, 5} },
		"layers 2 to 1":              func(o *llm.Options) { o.Layers = [2]int{2, 2} },
		"layers -1 to 0":             func(o *llm.Options) { o.Layers = [2]int{-1, 1} },
		"leaves 0 to 2 of 4":         func(o *llm.Options) { o.Leaves = [2]int{0, 3} },
		"leaves 1 to 2 of 4":         func(o *llm.Options) { o.Leaves = [2]int{1, 3} },
		"leaves 4 to 4 of 4":         func(o *llm.Options) { o.Leaves = [2]int{4, 5} },
		"leaves 2 to 1 of 4":         func(o *llm.Options) { o.Leaves = [2]int{2, 2} },
		"needs weights":              func(o *llm.Options) { o.Blob = nil },
		"needs weights, a KV cache":  func(o *llm.Options) { o.KV = nil },
		"another shape":              func(o *llm.Options) { o.KV = foreign },
		"layer 3 leaf 2 has 0 bytes": func(o *llm.Options) { o.Blob = without(blob, model.BlobID{Layer: 3, Leaf: 2}) },
		"not aligned":                func(o *llm.Options) { o.Blob = misaligned(blob) },
		"hidden is 0":                func(o *llm.Options) { o.Config.Hidden = 0 },
	} {
		o := good
		change(&o)
		if _, err := llm.NewShard(o); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("want %q, got %v", says, err)
		}
	}
}

func without(blob func(model.BlobID) []byte, missing model.BlobID) func(model.BlobID) []byte {
	return func(id model.BlobID) []byte {
		if id == missing {
			return nil
		}
		return blob(id)
	}
}

func misaligned(blob func(model.BlobID) []byte) func(model.BlobID) []byte {
	return func(id model.BlobID) []byte {
		b := blob(id)
		moved := make([]byte, len(b)+1)
		copy(moved[1:], b)
		return moved[1:]
	}
}

// shards of a two-stage, two-rank model: rank 1 of each stage.
func secondRank(t *testing.T, c model.Config, layers [2]int) *llm.Shard {
	t.Helper()
	cache, err := kv.New(kv.Options{Config: c, MaxBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	cpu := kernel.New(kernel.Options{Threads: 1})
	t.Cleanup(cpu.Close)
	s, err := llm.NewShard(llm.Options{Config: c, Layers: layers, Leaves: [2]int{2, 4}, Blob: weights(t, c), KV: cache, CPU: cpu})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestWrongCalls: a stage that is asked for what it does not have, ranks that do
// not match, rows that are not the batch's.
func TestWrongCalls(t *testing.T) {
	c := small()
	first, last := secondRank(t, c, [2]int{0, 2}), secondRank(t, c, [2]int{2, 4})
	comms := cluster.Comms(2)
	ctx := t.Context()
	batch := []llm.Sequence{{ID: 1, Tokens: []int32{1, 2}, Sample: true}}
	x := make([]float32, 2*c.Hidden)
	embed := func(s *llm.Shard, comm llm.Comm) error { _, err := s.Embed(ctx, comm, batch); return err }
	next := func(s *llm.Shard, comm llm.Comm, x []float32) error {
		_, err := s.Next(ctx, comm, batch, x)
		return err
	}
	logits := func(s *llm.Shard, comm llm.Comm, x []float32) error {
		_, err := s.Logits(ctx, comm, batch, x)
		return err
	}
	for _, tt := range []struct {
		err  error
		says string
	}{
		{embed(last, comms[1]), "have no embedding"},
		{next(first, comms[1], x), "only the last stage has a head"},
		{logits(first, comms[1], x), "only the last stage has a head"},
		{embed(first, comms[0]), "rank 0 of 2 has layers 0 to 1 of leaves 2 to 3"},
		{next(last, llm.Alone{}, x), "rank 0 of 1 has layers 2 to 3 of leaves 2 to 3"},
		{first.Forward(ctx, comms[1], batch, x[:c.Hidden]), "2 rows of 56 elements are 112, got 56"},
		{next(last, comms[1], x[:c.Hidden]), "2 rows of 56 elements are 112, got 56"},
		{logits(last, comms[1], x[:c.Hidden]), "2 rows of 56 elements are 112, got 56"},
	} {
		if tt.err == nil || !strings.Contains(tt.err.Error(), tt.says) {
			t.Errorf("want %q, got %v", tt.says, tt.err)
		}
	}
}

// broken fails, or never answers, after some calls.
type broken struct {
	llm.Comm
	left  int
	err   error
	calls chan struct{}
}

func (b *broken) Sum(ctx context.Context, x []float32) error {
	if b.left--; b.left >= 0 {
		return nil
	}
	if b.err != nil {
		return b.err
	}
	close(b.calls)
	<-ctx.Done()
	return ctx.Err()
}

// TestBrokenComm: whatever call fails, the step says so, and its repetition
// gives the right bits.
func TestBrokenComm(t *testing.T) {
	c := small()
	r := newReference(t, c, 1, prompt(c, 1, 10), 0, llm.Sampling{})
	cache, err := kv.New(kv.Options{Config: c, MaxBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	cpu := kernel.New(kernel.Options{Threads: 1})
	defer cpu.Close()
	s, err := llm.NewShard(llm.Options{Config: c, Layers: [2]int{0, 4}, Leaves: [2]int{0, 4}, Blob: weights(t, c), KV: cache, CPU: cpu})
	if err != nil {
		t.Fatal(err)
	}
	batch := []llm.Sequence{r.step(0, 10)}
	away := errors.New("the peer is away")
	for calls := range 9 { // the embedding's, and two a layer
		comm := &broken{Comm: llm.Alone{}, left: calls, err: away}
		x, err := s.Embed(t.Context(), comm, batch)
		if err == nil {
			err = s.Forward(t.Context(), comm, batch, x)
		}
		if !errors.Is(err, away) {
			t.Fatalf("after %d sums: %v", calls, err)
		}
	}
	// A step that is given up while it waits.
	ctx, cancel := context.WithCancel(t.Context())
	comm := &broken{Comm: llm.Alone{}, left: 3, calls: make(chan struct{})}
	go func() {
		<-comm.calls
		if err := s.Forward(t.Context(), llm.Alone{}, batch, nil); err == nil || !strings.Contains(err.Error(), "another step") {
			t.Errorf("a second step at once: %v", err)
		}
		cancel()
	}()
	if err := s.Forward(ctx, comm, batch, make([]float32, 10*c.Hidden)); !errors.Is(err, context.Canceled) {
		t.Errorf("a step that is given up: %v", err)
	}
	if err := s.Forward(ctx, llm.Alone{}, batch, make([]float32, 10*c.Hidden)); !errors.Is(err, context.Canceled) {
		t.Errorf("a step that was given up before: %v", err)
	}
	x, err := s.Embed(t.Context(), llm.Alone{}, batch)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Forward(t.Context(), llm.Alone{}, batch, x); err != nil {
		t.Fatal(err)
	}
	logits, err := s.Logits(t.Context(), llm.Alone{}, batch, x)
	if err != nil {
		t.Fatal(err)
	}
	if at := differs(logits, r.logits[9]); at >= 0 {
		t.Errorf("logit %d differs after all that", at)
	}
}

// TestEmbeddingKeepsItsBits: of -0 too, whichever rank has the row.
func TestEmbeddingKeepsItsBits(t *testing.T) {
	c := small()
	minusZero := func(id model.BlobID) []byte {
		b := append([]byte(nil), weights(t, c)(id)...)
		for i := int64(3); id.Layer == 0 && i < c.Tensors(id)[0].Bytes(); i += 4 {
			b[i-3], b[i-2], b[i-1], b[i] = 0, 0, 0, 0x80
		}
		return b
	}
	var all sync.WaitGroup
	for rank, comm := range cluster.Comms(4) {
		cache, err := kv.New(kv.Options{Config: c, MaxBytes: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		cpu := kernel.New(kernel.Options{Threads: 1})
		t.Cleanup(cpu.Close)
		s, err := llm.NewShard(llm.Options{Config: c, Layers: [2]int{0, 1}, Leaves: [2]int{rank, rank + 1}, Blob: minusZero, KV: cache, CPU: cpu})
		if err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			x, err := s.Embed(t.Context(), comm, []llm.Sequence{{ID: 1, Tokens: prompt(c, 1, 20)}})
			if err != nil {
				t.Error(err)
			}
			for i, v := range x {
				if math.Float32bits(v) != 1<<31 {
					t.Errorf("rank %d: element %d is %x, want -0", rank, i, math.Float32bits(v))
					return
				}
			}
		})
	}
	all.Wait()
}

// TestDropInMidStep: a sequence that is dropped while a step has it does not keep
// the step from ending, and its pages come back.
func TestDropInMidStep(t *testing.T) {
	c := small()
	cache, err := kv.New(kv.Options{Config: c, MaxBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	cpu := kernel.New(kernel.Options{Threads: 1})
	defer cpu.Close()
	s, err := llm.NewShard(llm.Options{Config: c, Layers: [2]int{0, 4}, Leaves: [2]int{0, 4}, Blob: weights(t, c), KV: cache, CPU: cpu})
	if err != nil {
		t.Fatal(err)
	}
	batch := []llm.Sequence{{ID: 1, Tokens: prompt(c, 1, 40)}}
	comm := &dropping{cache: cache}
	if err := s.Forward(t.Context(), comm, batch, make([]float32, 40*c.Hidden)); err != nil {
		t.Error(err)
	}
	if comm.after == 0 || cache.Used() != 0 {
		t.Errorf("%d bytes used in mid-step, %d after it", comm.after, cache.Used())
	}
}

type dropping struct {
	llm.Alone
	cache *kv.Cache
	after int64
}

func (d *dropping) Sum(context.Context, []float32) error {
	d.cache.Drop(1)
	d.after = d.cache.Used()
	return nil
}
