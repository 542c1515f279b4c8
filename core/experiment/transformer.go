package experiment

// Compute says what a worker computes with.
type Compute string

// The ways to compute; "" is Profiled.
const (
	// Profiled takes every duration from Spec.Profile, and makes no tokens.
	Profiled Compute = ""
	// Transformer computes the tokens of Spec.Transformer. Such a run is measured:
	// durations are what they are, its time scale is 1 and its delays are 0.
	Transformer Compute = "transformer"
)

// TransformerModel is what a worker has to know to compute tokens.
type TransformerModel struct {
	Shape Shape
	// Weights is where the weights are: "synthetic:" and a seed, the path of a file
	// or folder, or the URL of a bucket.
	Weights string
	// Sampling is that of requests that name none.
	Sampling Sampling
	// PrefillChunk is the most prompt tokens of one step, over all its requests.
	PrefillChunk int
	Stop         []int32 // tokens that end an answer
	// PromptSeed is what the prompts of arrivals are drawn from that bring none.
	PromptSeed uint64
}

// Shape is the shape of a decoder with RMSNorm, rotary positions, grouped-query
// attention and SwiGLU (Llama).
type Shape struct {
	Layers, Hidden int
	Heads, KVHeads int // of queries; of keys and values
	HeadDim        int
	FFN            int
	Vocab          int
	Context        int // most tokens of a sequence, prompt and output
	NormEps        float64
	Rope           Rope
	TiedHead       bool   // the output projection is the embedding matrix
	DType          string // of the weight matrices: f32 or bf16
	// Leaves is how many parts a layer is cut into: the largest tensor-parallel
	// degree, a power of two.
	Leaves int
	BOS    int32 // token that begins a prompt given as text; -1 for none
}

// Rope is how positions are rotated into queries and keys.
type Rope struct {
	Theta float64 // base of the frequencies
	// Scaling of long contexts (Llama 3.1); Factor 0 is none.
	Factor, LowFreqFactor, HighFreqFactor float64
	OriginalContext                       int
}

// Sampling is how a token is drawn from its distribution.
type Sampling struct {
	Temperature float32 // 0 takes the likeliest token
	TopP        float32 // share of the mass to draw from; 0 and 1: all
	TopK        int     // likeliest tokens to draw from; 0: all
	// Seed and position decide the draw, so that it does not depend on who draws.
	// A request without a seed of its own has one made of the run's and its id.
	Seed uint64
}

// SamplingWish is what a request asks for of its sampling; what is nil is the
// run's.
type SamplingWish struct {
	Temperature *float32
	TopP        *float32
	TopK        *int
	Seed        *uint64
}

// With is s as far as w asks for nothing else. A seed that w does not name is left
// to the caller.
func (s Sampling) With(w SamplingWish) Sampling {
	set(&s.Temperature, w.Temperature)
	set(&s.TopP, w.TopP)
	set(&s.TopK, w.TopK)
	set(&s.Seed, w.Seed)
	return s
}

func set[T any](to *T, wish *T) {
	if wish != nil {
		*to = *wish
	}
}

// Prompt is what a request of a measured run asks.
type Prompt struct {
	Name   string // the user's id of the request; empty for those of a trace
	Text   string // the prompt as text
	Tokens []int32
	// Sampling of this request.
	Sampling SamplingWish
	Stop     []int32 // tokens that end the answer, beside the run's
	// Flaw is why the request cannot be read; the planner refuses it.
	Flaw string
}
