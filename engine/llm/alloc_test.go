package llm_test

import (
	"testing"

	"github.com/spotserve/spotserve/engine/kernel"
	"github.com/spotserve/spotserve/engine/kv"
	"github.com/spotserve/spotserve/engine/llm"
)

// TestStepsAllocateNothing once their buffers are there.
func TestStepsAllocateNothing(t *testing.T) {
	c := small()
	cache, err := kv.New(kv.Options{Config: c, MaxBytes: 1 << 22})
	if err != nil {
		t.Fatal(err)
	}
	cpu := kernel.New(kernel.Options{Threads: 2})
	defer cpu.Close()
	s, err := llm.NewShard(llm.Options{Config: c, Layers: [2]int{0, 4}, Leaves: [2]int{0, 4}, Blob: weights(t, c), KV: cache, CPU: cpu})
	if err != nil {
		t.Fatal(err)
	}
	var comm llm.Comm = llm.Alone{}
	ctx := t.Context()
	batch := []llm.Sequence{
		{ID: 1, Tokens: prompt(c, 1, 1), Sample: true},
		{ID: 2, Tokens: prompt(c, 2, 1), Sample: true, Sampling: llm.Sampling{Temperature: 1, TopK: 5, TopP: 0.5}},
		{ID: 3, Tokens: prompt(c, 3, 40)},
	}
	step := func() {
		x, err := s.Embed(ctx, comm, batch)
		if err == nil {
			err = s.Forward(ctx, comm, batch, x)
		}
		if err == nil {
			_, err = s.Next(ctx, comm, batch, x)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for range 50 { // 200 positions of the first two
		step()
		batch[0].Start++
		batch[1].Start++
	}
	if n := testing.AllocsPerRun(50, step); n != 0 {
		t.Errorf("a step allocates %v times", n)
	}
}
