package wire

import (
	"math"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/topology"
	pb "github.com/spotserve/spotserve/proto/spotserve/v1"
)

// present maps a part that may be missing, either way: nil stays nil.
func present[A, B any](c *check, field string, a *A, to func(*check, *A) *B) *B {
	if a == nil {
		return nil
	}
	return inside(c, field, a, to)
}

// tokensOut takes tokens, which are never negative, to the wire.
func (c *check) tokensOut(field string, in []int32) []uint32 {
	if len(in) == 0 {
		return nil
	}
	out := make([]uint32, len(in))
	for i, t := range in {
		if t < 0 {
			c.fail(item(field, i), "is %d: a token must be at least 0", t)
		}
		out[i] = uint32(t)
	}
	return out
}

// tokensIn takes tokens from the wire.
func (c *check) tokensIn(field string, in []uint32) []int32 {
	if len(in) == 0 {
		return nil
	}
	out := make([]int32, len(in))
	for i, t := range in {
		if t > math.MaxInt32 {
			c.fail(item(field, i), "is %d: a token must be at most %d", t, math.MaxInt32)
		}
		out[i] = int32(t)
	}
	return out
}

func transformerOut(c *check, t *experiment.TransformerModel) *pb.TransformerModel {
	return &pb.TransformerModel{
		Shape:        inside(c, "shape", t.Shape, shapeOut),
		Weights:      c.text("weights", t.Weights),
		Sampling:     inside(c, "sampling", &t.Sampling, samplingOut),
		PrefillChunk: c.count("prefill_chunk", t.PrefillChunk),
		Stop:         c.tokensOut("stop", t.Stop),
		PromptSeed:   t.PromptSeed,
	}
}

func transformerIn(c *check, m *pb.TransformerModel) *experiment.TransformerModel {
	return &experiment.TransformerModel{
		Shape:        part(c, "shape", m.Shape, shapeIn),
		Weights:      c.text("weights", m.Weights),
		Sampling:     *part(c, "sampling", orEmpty(m.Sampling), samplingIn),
		PrefillChunk: c.int("prefill_chunk", m.PrefillChunk),
		Stop:         c.tokensIn("stop", m.Stop),
		PromptSeed:   m.PromptSeed,
	}
}

// orEmpty is m, or a message of zeros for a missing one.
func orEmpty[M any](m *M) *M {
	if m == nil {
		return new(M)
	}
	return m
}

func shapeOut(c *check, s experiment.Shape) *pb.Shape {
	return &pb.Shape{
		Layers:   c.count("layers", s.Layers),
		Hidden:   c.count("hidden", s.Hidden),
		Heads:    c.count("heads", s.Heads),
		KvHeads:  c.count("kv_heads", s.KVHeads),
		HeadDim:  c.count("head_dim", s.HeadDim),
		Ffn:      c.count("ffn", s.FFN),
		Vocab:    c.count("vocab", s.Vocab),
		Context:  c.count("context", s.Context),
		NormEps:  c.float("norm_eps", s.NormEps),
		Rope:     inside(c, "rope", s.Rope, ropeOut),
		TiedHead: s.TiedHead,
		Dtype:    c.text("dtype", s.DType),
		Leaves:   c.count("leaves", s.Leaves),
		Bos:      s.BOS,
	}
}

func shapeIn(c *check, m *pb.Shape) experiment.Shape {
	return experiment.Shape{
		Layers:   c.int("layers", m.Layers),
		Hidden:   c.int("hidden", m.Hidden),
		Heads:    c.int("heads", m.Heads),
		KVHeads:  c.int("kv_heads", m.KvHeads),
		HeadDim:  c.int("head_dim", m.HeadDim),
		FFN:      c.int("ffn", m.Ffn),
		Vocab:    c.int("vocab", m.Vocab),
		Context:  c.int("context", m.Context),
		NormEps:  c.float("norm_eps", m.NormEps),
		Rope:     part(c, "rope", m.Rope, ropeIn),
		TiedHead: m.TiedHead,
		DType:    c.text("dtype", m.Dtype),
		Leaves:   c.int("leaves", m.Leaves),
		BOS:      m.Bos,
	}
}

func ropeOut(c *check, r experiment.Rope) *pb.Rope {
	return &pb.Rope{
		Theta:           c.float("theta", r.Theta),
		Factor:          c.float("factor", r.Factor),
		LowFreqFactor:   c.float("low_freq_factor", r.LowFreqFactor),
		HighFreqFactor:  c.float("high_freq_factor", r.HighFreqFactor),
		OriginalContext: c.count("original_context", r.OriginalContext),
	}
}

func ropeIn(c *check, m *pb.Rope) experiment.Rope {
	return experiment.Rope{
		Theta:           c.float("theta", m.Theta),
		Factor:          c.float("factor", m.Factor),
		LowFreqFactor:   c.float("low_freq_factor", m.LowFreqFactor),
		HighFreqFactor:  c.float("high_freq_factor", m.HighFreqFactor),
		OriginalContext: c.int("original_context", m.OriginalContext),
	}
}

func samplingOut(c *check, s *experiment.Sampling) *pb.Sampling {
	return &pb.Sampling{
		Temperature: c.share("temperature", s.Temperature),
		TopP:        c.share("top_p", s.TopP),
		TopK:        c.count("top_k", s.TopK),
		Seed:        s.Seed,
	}
}

func samplingIn(c *check, m *pb.Sampling) *experiment.Sampling {
	return &experiment.Sampling{
		Temperature: c.share("temperature", m.Temperature),
		TopP:        c.share("top_p", m.TopP),
		TopK:        c.int("top_k", m.TopK),
		Seed:        m.Seed,
	}
}

// share passes a number of at least 0, either way.
func (c *check) share(field string, v float32) float32 {
	return float32(c.notNegative(field, float64(v)))
}

// samplingWishOut leaves a wish for nothing out.
func samplingWishOut(c *check, w experiment.SamplingWish) *pb.SamplingWish {
	if w == (experiment.SamplingWish{}) {
		return nil
	}
	m := &pb.SamplingWish{Temperature: w.Temperature, TopP: w.TopP, Seed: w.Seed}
	if w.TopK != nil {
		k := c.count("top_k", *w.TopK)
		m.TopK = &k
	}
	c.share("temperature", m.GetTemperature())
	c.share("top_p", m.GetTopP())
	return m
}

func samplingWishIn(c *check, m *pb.SamplingWish) experiment.SamplingWish {
	w := experiment.SamplingWish{Temperature: m.Temperature, TopP: m.TopP, Seed: m.Seed}
	if m.TopK != nil {
		k := c.int("top_k", *m.TopK)
		w.TopK = &k
	}
	c.share("temperature", m.GetTemperature())
	c.share("top_p", m.GetTopP())
	return w
}

func promptOut(c *check, p *experiment.Prompt) *pb.Prompt {
	return &pb.Prompt{
		Name:     p.Name,
		Text:     p.Text,
		Tokens:   c.tokensOut("tokens", p.Tokens),
		Sampling: inside(c, "sampling", p.Sampling, samplingWishOut),
		Stop:     c.tokensOut("stop", p.Stop),
		Flaw:     p.Flaw,
	}
}

func promptIn(c *check, m *pb.Prompt) *experiment.Prompt {
	return &experiment.Prompt{
		Name:     m.Name,
		Text:     m.Text,
		Tokens:   c.tokensIn("tokens", m.Tokens),
		Sampling: optional(c, "sampling", m.Sampling, samplingWishIn),
		Stop:     c.tokensIn("stop", m.Stop),
		Flaw:     m.Flaw,
	}
}

func generatedOut(c *check, g event.Generated) *pb.Generated {
	return &pb.Generated{
		Request:      uint64(g.Request),
		From:         c.count("from", g.From),
		Tokens:       c.tokensOut("tokens", g.Tokens),
		Done:         g.Done,
		Text:         g.Text,
		PromptTokens: c.count("prompt_tokens", g.PromptTokens),
		Refused:      g.Refused,
	}
}

func generatedIn(c *check, m *pb.Generated) event.Generated {
	return event.Generated{
		Request:      event.RequestID(m.Request),
		From:         c.int("from", m.From),
		Tokens:       c.tokensIn("tokens", m.Tokens),
		Done:         m.Done,
		Text:         m.Text,
		PromptTokens: c.int("prompt_tokens", m.PromptTokens),
		Refused:      m.Refused,
	}
}

func forcedOut(c *check, t topology.ParallelConfig) *pb.ForcedConfig {
	return &pb.ForcedConfig{
		Data:                c.count("data", t.Data),
		Pipeline:            c.count("pipeline", t.Pipeline),
		Tensor:              c.count("tensor", t.Tensor),
		Batch:               c.count("batch", t.Batch),
		PrefillMicroBatches: c.count("prefill_micro_batches", t.PrefillMicroBatches),
		DecodeMicroBatches:  c.count("decode_micro_batches", t.DecodeMicroBatches),
	}
}

func forcedIn(c *check, m *pb.ForcedConfig) topology.ParallelConfig {
	return topology.ParallelConfig{
		Data:                c.int("data", m.Data),
		Pipeline:            c.int("pipeline", m.Pipeline),
		Tensor:              c.int("tensor", m.Tensor),
		Batch:               c.int("batch", m.Batch),
		PrefillMicroBatches: c.int("prefill_micro_batches", m.PrefillMicroBatches),
		DecodeMicroBatches:  c.int("decode_micro_batches", m.DecodeMicroBatches),
	}
}

func prepareMigrationOut(c *check, b event.PrepareMigration) *pb.PrepareMigration {
	return &pb.PrepareMigration{
		Config:     inside(c, "config", b.Config, parallelConfigOut),
		Placements: list(c, "placements", b.Placements, placementOut),
		Steps:      list(c, "steps", b.Steps, stepOut),
		Resume:     list(c, "resume", b.Resume, preparedPipelineOut),
	}
}

func prepareMigrationIn(c *check, m *pb.PrepareMigration) event.PrepareMigration {
	return event.PrepareMigration{
		Config:     part(c, "config", m.Config, parallelConfigIn),
		Placements: list(c, "placements", m.Placements, placementIn),
		Steps:      list(c, "steps", m.Steps, stepIn),
		Resume:     list(c, "resume", m.Resume, preparedPipelineIn),
	}
}

func preparedPipelineOut(c *check, p event.PreparedPipeline) *pb.PreparedPipeline {
	return &pb.PreparedPipeline{Pipeline: c.count("pipeline", p.Pipeline), Requests: same[uint64](p.Requests)}
}

func preparedPipelineIn(c *check, m *pb.PreparedPipeline) event.PreparedPipeline {
	return event.PreparedPipeline{Pipeline: c.int("pipeline", m.Pipeline), Requests: same[event.RequestID](m.Requests)}
}
