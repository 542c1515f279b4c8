package catalog

import (
	"cmp"
	"fmt"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"

	"github.com/spotserve/spotserve/core/experiment"
)

// transformerFile is what workers have to know that compute tokens, beyond the
// model's matrices.
type transformerFile struct {
	Weights            string           `yaml:"weights"`
	Context            int              `yaml:"context,omitempty"`
	Leaves             int              `yaml:"leaves,omitempty"` // 0: by the heads
	NormEps            float64          `yaml:"norm_eps,omitempty"`
	RopeTheta          float64          `yaml:"rope_theta,omitempty"`
	RopeScaling        *ropeScalingFile `yaml:"rope_scaling,omitempty"`
	PrefillChunkTokens int              `yaml:"prefill_chunk_tokens,omitempty"`
	Sampling           samplingFile     `yaml:"sampling,omitempty"`
	BeginToken         *int             `yaml:"begin_token,omitempty"`
	StopTokens         []int            `yaml:"stop_tokens,flow,omitempty"`
	PromptSeed         uint64           `yaml:"prompt_seed,omitempty"` // 0: the run's
	Prompts            string           `yaml:"prompts,omitempty"`
}

// ropeScalingFile is the stretching of positions of Llama 3.1.
type ropeScalingFile struct {
	Factor          float64 `yaml:"factor"`
	LowFreqFactor   float64 `yaml:"low_freq_factor"`
	HighFreqFactor  float64 `yaml:"high_freq_factor"`
	OriginalContext int     `yaml:"original_context"`
}

// samplingFile says how tokens are drawn; all zero: greedily.
type samplingFile struct {
	Temperature float64 `yaml:"temperature,omitempty"`
	TopK        int     `yaml:"top_k,omitempty"`
	TopP        float64 `yaml:"top_p,omitempty"`
	Seed        uint64  `yaml:"seed,omitempty"`
}

// filled returns the settings with the usual values of those that are not given.
func (t transformerFile) filled() transformerFile {
	t.Context = cmp.Or(t.Context, 2048)
	t.NormEps = cmp.Or(t.NormEps, 1e-5)
	t.RopeTheta = cmp.Or(t.RopeTheta, 10_000)
	t.PrefillChunkTokens = cmp.Or(t.PrefillChunkTokens, 128)
	return t
}

// Limits of what a transformer can be told.
const (
	maxLeaves      = 64 // of a layer: migration plans keep them in a set of 64
	maxTemperature = 100
	maxRopeTheta   = 1e9
	maxRopeFactor  = 1e4
)

// usualLeaves bounds the leaves of a model that names none.
const usualLeaves = 8

// computeProfiled is what files call experiment.Profiled.
const computeProfiled = "profiled"

// Computes returns what workers may compute with, the default first.
func Computes() []string { return []string{computeProfiled, string(experiment.Transformer)} }

// transforms reports whether workers compute tokens.
func (r *resolved) transforms() bool { return r.file.Compute == string(experiment.Transformer) }

// loadTransformer settles what a run with a transformer needs, and refuses it
// where there is none to compute with.
func (s *settler) loadTransformer() {
	const key = "transformer"
	node, c := s.file.Transformer.node, s.doc.part("transformer")
	if !s.transforms() {
		c.require(node == nil, "%s is a key of runs with compute: %s", key, experiment.Transformer)
		return
	}
	var value transformerFile
	if s.measured.Transformer != nil {
		value = *s.measured.Transformer
	}
	if node != nil {
		s.doc.readStruct(key, node, reflect.ValueOf(&value).Elem())
	}
	if len(s.doc.errs) > 0 {
		return
	}
	s.model.GatedFFN = true
	if s.model.KVBytesPerToken == 0 {
		m := s.model.filled()
		s.model.KVBytesPerToken = 2 * kvElementBytes * int64(m.Layers) * int64(m.KVHeads) * int64(m.HeadDim)
	}
	value = value.filled()
	value.Leaves = cmp.Or(value.Leaves, s.model.leaves())
	value.Weights = absoluteWeights(value.Weights, s.doc.folder)
	value.checkAll(c)
	s.transformer = value
	s.checkMatrices()
	s.checkRealTime()
}

// kvElementBytes is the size of an element of the KV cache that workers keep:
// float32, whatever the weights have.
const kvElementBytes = 4

// leaves is the number of leaves of a model that does not say it: the largest
// power of two, up to usualLeaves, that its heads and its feed-forward width
// divide by.
func (m modelFile) leaves() int {
	m = m.filled()
	n := usualLeaves
	for n > 1 && (m.Heads%n != 0 || m.KVHeads%n != 0 || m.FFN%n != 0) {
		n /= 2
	}
	return n
}

func (t transformerFile) checkAll(c *checker) {
	t = t.filled()
	if _, err := parseWeights(t.Weights); err != "" {
		c.holds("weights", false, "%s", err)
	}
	c.count("context", t.Context, maxTokens)
	c.holds("leaves", t.Leaves >= 0 && t.Leaves <= maxLeaves && t.Leaves&(t.Leaves-1) == 0, "is %d, allowed are powers of two up to %d, and 0: by the heads", t.Leaves, maxLeaves)
	c.positive("norm_eps", t.NormEps, 1)
	c.positive("rope_theta", t.RopeTheta, maxRopeTheta)
	if r := t.RopeScaling; r != nil {
		c.positive("rope_scaling.factor", r.Factor, maxRopeFactor)
		c.positive("rope_scaling.low_freq_factor", r.LowFreqFactor, maxRopeFactor)
		c.holds("rope_scaling.high_freq_factor", r.HighFreqFactor > r.LowFreqFactor && r.HighFreqFactor <= maxRopeFactor,
			"is %v, allowed is above low_freq_factor (%v) up to %v", r.HighFreqFactor, r.LowFreqFactor, float64(maxRopeFactor))
		c.count("rope_scaling.original_context", r.OriginalContext, maxTokens)
	}
	c.count("prefill_chunk_tokens", t.PrefillChunkTokens, maxTokens)
	if t.BeginToken != nil {
		c.token("begin_token", *t.BeginToken)
	}
	for i, token := range t.StopTokens {
		c.token(fmt.Sprintf("stop_tokens[%d]", i), token)
	}
	c.notNegative("sampling.temperature", t.Sampling.Temperature, maxTemperature)
	c.notNegative("sampling.top_p", t.Sampling.TopP, 1)
	c.holds("sampling.top_k", t.Sampling.TopK >= 0 && t.Sampling.TopK <= maxVocabulary, "is %d, allowed is 0 (all) to %d", t.Sampling.TopK, maxVocabulary)
}

// checkMatrices requires a model that can be computed.
func (s *settler) checkMatrices() {
	m, t, c, leaves := s.model.filled(), s.transformer, s.doc.part("model"), s.doc.part("transformer")
	c.holds("heads", m.Heads > 0, "is missing: workers compute with the model's matrices")
	c.holds("vocabulary", m.Vocabulary > 0, "is missing: workers compute with the model's matrices")
	c.holds("bytes_per_element", m.BytesPerElement == 2 || m.BytesPerElement == 4, "is %d, allowed are 4 (float32) and 2 (bfloat16)", m.BytesPerElement)
	c.holds("padded_layers", m.PaddedLayers == m.Layers, "is %d: workers compute the model's %d layers, and no others", m.PaddedLayers, m.Layers)
	if len(s.doc.errs) > 0 {
		return
	}
	c.holds("head_dim", m.HeadDim%2 == 0, "is %d, allowed are even widths: rotary positions turn pairs", m.HeadDim)
	for _, d := range []struct {
		key   string
		value int
	}{{"heads", m.Heads}, {"kv_heads", m.KVHeads}, {"ffn", m.FFN}} {
		leaves.holds("leaves", t.Leaves == 0 || d.value%t.Leaves == 0, "is %d, which does not divide model.%s (%d)", t.Leaves, d.key, d.value)
	}
	c.holds("vocabulary", m.Vocabulary >= t.Leaves, "is %d, allowed is transformer.leaves (%d) and above", m.Vocabulary, t.Leaves)
}

// checkRealTime requires that nothing but the computing takes time.
func (s *settler) checkRealTime() {
	f, c := &s.file, s.doc.part("")
	if !s.doc.has("time_scale") && f.TimeScale == defaultTimeScale {
		f.TimeScale = 1
	}
	c.holds("time_scale", f.TimeScale == 1, "is %v, allowed with compute: %s is 1: tokens take the time that they take", f.TimeScale, experiment.Transformer)
	e := s.doc.part("engine")
	e.require(s.engine.SendMS == 0 && s.engine.PollMS == 0 && s.engine.ResponseMS == 0,
		"engine %q has hops of %v, %v and %v ms: with compute: %s they are measured, and have to be 0", s.engine.Name,
		s.engine.SendMS, s.engine.PollMS, s.engine.ResponseMS, experiment.Transformer)
}

// checkLengths requires that every request fits the model's context.
func (s *settler) checkLengths() {
	if !s.transforms() {
		return
	}
	prompt, output := s.arrivals.prompts.longest, s.arrivals.outputs.longest
	s.doc.part("transformer").holds("context", prompt+output <= s.transformer.Context,
		"is %d, and the longest request has %d prompt and %d output tokens", s.transformer.Context, prompt, output)
	if s.profile.MaxTensor > s.transformer.Leaves {
		s.profile.MaxTensor = s.transformer.Leaves // a leaf is the least that a device holds
	}
}

// synthetic starts the weights that are made from a seed.
const synthetic = "synthetic:"

// parseWeights takes a location of weights apart. local is whether it is a path
// of this host's files; problem says what is wrong with it, if something is.
func parseWeights(location string) (local bool, problem string) {
	const allowed = "allowed are synthetic:SEED, the path of a .gguf file or of a folder with safetensors, and the URL of a bucket"
	if seed, ok := strings.CutPrefix(location, synthetic); ok {
		if _, err := strconv.ParseUint(seed, 10, 64); err != nil {
			return false, "is " + strconv.Quote(shorten(location)) + ": the seed is no whole number; " + allowed
		}
		return false, ""
	}
	if location == "" {
		return false, "is missing: " + allowed
	}
	return !strings.Contains(location, "://"), ""
}

// absoluteWeights is a location of weights as seen from anywhere on this host;
// relative paths are from folder.
func absoluteWeights(location, folder string) string {
	if local, problem := parseWeights(location); !local || problem != "" || filepath.IsAbs(location) || folder == "" {
		return location
	}
	return filepath.Join(folder, location)
}

// token requires the number of a token.
func (c *checker) token(key string, token int) {
	c.holds(key, token >= 0 && token < maxVocabulary, "is %d, allowed is 0 to %d", token, maxVocabulary-1)
}

// computed is what workers have to know to compute tokens; nil where they do not.
func (r *resolved) computed() *experiment.TransformerModel {
	if !r.transforms() {
		return nil
	}
	m, t := r.model.filled(), r.transformer
	out := &experiment.TransformerModel{
		Shape: experiment.Shape{
			Layers: m.Layers, Hidden: m.Hidden, Heads: m.Heads, KVHeads: m.KVHeads, HeadDim: m.HeadDim, FFN: m.FFN,
			Vocab: m.Vocabulary, Context: t.Context, NormEps: t.NormEps, Rope: experiment.Rope{Theta: t.RopeTheta},
			TiedHead: m.TiedEmbeddings, DType: "bf16", Leaves: t.Leaves, BOS: -1,
		},
		Weights: t.Weights,
		Sampling: experiment.Sampling{
			Temperature: float32(t.Sampling.Temperature), TopP: float32(t.Sampling.TopP), TopK: t.Sampling.TopK, Seed: t.Sampling.Seed,
		},
		PrefillChunk: t.PrefillChunkTokens,
		PromptSeed:   cmp.Or(t.PromptSeed, r.file.Seed),
	}
	if m.BytesPerElement == 4 {
		out.Shape.DType = "f32"
	}
	if s := t.RopeScaling; s != nil {
		rope := &out.Shape.Rope
		rope.Factor, rope.LowFreqFactor, rope.HighFreqFactor, rope.OriginalContext = s.Factor, s.LowFreqFactor, s.HighFreqFactor, s.OriginalContext
	}
	if t.BeginToken != nil {
		out.Shape.BOS = int32(*t.BeginToken)
	}
	for _, token := range t.StopTokens {
		out.Stop = append(out.Stop, int32(token))
	}
	return out
}
