package engineop_test

import (
	"slices"
	"testing"

	"github.com/spotserve/spotserve/core/engineop"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
)

func model() *experiment.TransformerModel {
	return &experiment.TransformerModel{
		Shape: experiment.Shape{Vocab: 50}, PromptSeed: 3, Stop: []int32{9},
		Sampling: experiment.Sampling{Temperature: 0.5, TopP: 0.9, TopK: 7, Seed: 11},
	}
}

func TestDrawPromptDependsOnSeedAndRequestAlone(t *testing.T) {
	m := model()
	a := engineop.DrawPrompt(m, 1, 200)
	if !slices.Equal(a, engineop.DrawPrompt(m, 1, 200)) || !slices.Equal(a[:20], engineop.DrawPrompt(m, 1, 20)) {
		t.Error("a prompt changes when it is drawn again, or shorter")
	}
	other := model()
	other.PromptSeed = 4
	if slices.Equal(a, engineop.DrawPrompt(m, 2, 200)) || slices.Equal(a, engineop.DrawPrompt(other, 1, 200)) {
		t.Error("another request, or another seed, has the same prompt")
	}
	seen := make(map[int32]bool)
	for _, token := range a {
		seen[token] = true
		if token < 0 || token >= 50 {
			t.Fatalf("token %d is outside the vocabulary", token)
		}
	}
	if len(seen) < 40 {
		t.Errorf("200 tokens of 50 are %d different ones", len(seen))
	}
}

func TestSamplingOfIsTheRunsButForWishes(t *testing.T) {
	m := model()
	plain := engineop.SamplingOf(m, 1, nil)
	if plain.Temperature != 0.5 || plain.TopP != 0.9 || plain.TopK != 7 {
		t.Errorf("without a wish %+v", plain)
	}
	if plain.Seed == engineop.SamplingOf(m, 2, nil).Seed || plain.Seed == m.Sampling.Seed {
		t.Error("two requests have one seed")
	}
	hot, topK, seed := float32(1.5), 0, uint64(42)
	got := engineop.SamplingOf(m, 1, &experiment.Prompt{Sampling: experiment.SamplingWish{Temperature: &hot, TopK: &topK, Seed: &seed}})
	if want := (experiment.Sampling{Temperature: 1.5, TopP: 0.9, TopK: 0, Seed: 42}); got != want {
		t.Errorf("with wishes %+v, want %+v", got, want)
	}
}

func TestStops(t *testing.T) {
	m, p := model(), &experiment.Prompt{Stop: []int32{4}}
	for token, want := range map[int32]bool{9: true, 4: true, 5: false} {
		if got := engineop.Stops(m, p, token); got != want {
			t.Errorf("token %d stops: %t", token, got)
		}
	}
	if engineop.Stops(m, nil, 4) {
		t.Error("a request's own stop ends others")
	}
}

// No answer of an engine is mistaken for a command.
func TestKindsDiffer(t *testing.T) {
	seen := make(map[event.Kind]bool)
	for _, b := range []event.Body{
		engineop.ContextLanded{}, engineop.StageUp{}, engineop.CacheLanded{}, engineop.Computed{}, engineop.ComputeFailed{},
		event.ContextMigrated{}, event.StageStarted{},
	} {
		if seen[b.Kind()] {
			t.Errorf("%s is said of two", b.Kind())
		}
		seen[b.Kind()] = true
	}
}
