package cost

import (
	"fmt"
	"math/bits"
	"time"

	"github.com/spotserve/spotserve/core/topology"
)

// LatencyModel predicts how long one batch takes on one pipeline, from a
// measured profile. The formula is the published planner's (SpotServe artifact,
// ASPLOS'24; paper section 3.2, l_exe): per-layer latencies, scaled to the
// micro-batch schedule of the pipeline, plus its stage borders.
type LatencyModel struct {
	layers  int
	padded  int
	profile Profile
	rows    map[rowKey]PhaseLatency
	byBatch map[int][]PhaseLatency // rows of a tensor degree, ascending by Batch
}

type rowKey struct{ tensor, batch int }

// NewLatencyModel checks that p covers m and returns their latency model.
func NewLatencyModel(m Model, p Profile) (*LatencyModel, error) {
	if m.Layers <= 0 || m.PaddedLayers <= 0 {
		return nil, fmt.Errorf("model %s: layers %d and padded layers %d must be positive", m.Name, m.Layers, m.PaddedLayers)
	}
	if p.PromptTokens <= 0 {
		return nil, fmt.Errorf("profile %s: prompt tokens %d must be positive", p.Name, p.PromptTokens)
	}
	if len(p.Embed) == 0 {
		return nil, fmt.Errorf("profile %s: no embedding latencies", p.Name)
	}
	l := &LatencyModel{
		layers: m.Layers, padded: m.PaddedLayers, profile: p,
		rows: make(map[rowKey]PhaseLatency), byBatch: make(map[int][]PhaseLatency),
	}
	for _, t := range p.Tensors {
		for _, r := range t.Rows {
			l.rows[rowKey{t.Tensor, r.Batch}] = r
		}
		l.byBatch[t.Tensor] = sortedRows(t.Rows)
	}
	if len(l.rows) == 0 {
		return nil, fmt.Errorf("profile %s: no latency rows", p.Name)
	}
	return l, nil
}

// MaxTensor is the largest tensor-parallel degree that was profiled.
func (l *LatencyModel) MaxTensor() int { return l.profile.MaxTensor }

// DividesLayers reports whether p stages share the padded layers evenly.
func (l *LatencyModel) DividesLayers(p int) bool { return p > 0 && l.padded%p == 0 }

// Covers reports whether the profile has the rows for a batch of n on c.
func (l *LatencyModel) Covers(c topology.ParallelConfig, n int) bool {
	if n <= 0 || n&(n-1) != 0 || bits.Len(uint(n))-1 >= len(l.profile.Embed) {
		return false
	}
	_, okPrefill := l.rows[rowKey{c.Tensor, n / microBatches(n, c.PrefillMicroBatches)}]
	_, okDecode := l.rows[rowKey{c.Tensor, n / microBatches(n, c.DecodeMicroBatches)}]
	return okPrefill && okDecode
}

// Prefill is t1(n): the initial phase of n prompts of the profiled length. It is
// 0 where Covers is false.
func (l *LatencyModel) Prefill(c topology.ParallelConfig, n int) time.Duration {
	return seconds(l.prefill(c, n))
}

// PrefillTokens is t1 for prompts of the given length, linear in the length
// through the profiled point: a request that lost its KV cache prefills its
// prompt and its committed tokens.
func (l *LatencyModel) PrefillTokens(c topology.ParallelConfig, n, tokens int) time.Duration {
	return seconds(l.forTokens(l.prefill(c, n), float64(tokens)))
}

// forTokens scales the prefill of prompts of the profiled length to prompts of
// tokens tokens.
func (l *LatencyModel) forTokens(prefill, tokens float64) float64 {
	if tokens == float64(l.profile.PromptTokens) {
		return prefill // to the bit
	}
	return prefill * tokens / float64(l.profile.PromptTokens)
}

// Decode is t2(n): one decoding iteration of n requests.
func (l *LatencyModel) Decode(c topology.ParallelConfig, n int) time.Duration {
	return seconds(l.decode(c, n))
}

// Embed is e(n): embedding and output projection, once a batch.
func (l *LatencyModel) Embed(n int) time.Duration { return seconds(l.embed(n)) }

// Batch is T(n) = t1 + output*t2 + e: n requests from prompts of prompt tokens
// to the last of output tokens.
func (l *LatencyModel) Batch(c topology.ParallelConfig, n, prompt, output int) time.Duration {
	return seconds(l.BatchSeconds(c, n, prompt, output))
}

// BatchSeconds is Batch before rounding to nanoseconds.
func (l *LatencyModel) BatchSeconds(c topology.ParallelConfig, n, prompt, output int) float64 {
	return l.forTokens(l.prefill(c, n), float64(prompt)) + float64(output)*l.decode(c, n) + l.embed(n)
}

func (l *LatencyModel) prefill(c topology.ParallelConfig, n int) float64 {
	m1 := microBatches(n, c.PrefillMicroBatches)
	row := l.rows[rowKey{c.Tensor, n / m1}]
	p, m := float64(c.Pipeline), float64(m1)
	ms := row.Prefill*l.stageLayers(c)*(p+m-1)/m + l.profile.PrefillComm*(p-1)/m
	return l.profile.FixFactor * ms / 1e3
}

func (l *LatencyModel) decode(c topology.ParallelConfig, n int) float64 {
	m2 := microBatches(n, c.DecodeMicroBatches)
	row := l.rows[rowKey{c.Tensor, n / m2}]
	p, m := float64(c.Pipeline), float64(m2)
	ms := row.Decode*l.stageLayers(c)*(p+m-1) + l.profile.DecodeComm*(p-1)/m
	return l.profile.FixFactor * ms / 1e3
}

func (l *LatencyModel) embed(n int) float64 {
	i := bits.Len(uint(n)) - 1
	if i < 0 || i >= len(l.profile.Embed) {
		return 0
	}
	return l.profile.FixFactor * 2 * l.profile.Embed[i] / 1e3
}

// stageLayers is L = ceil(layers/P): the longest stage sets the pace.
func (l *LatencyModel) stageLayers(c topology.ParallelConfig) float64 {
	return float64((l.layers + c.Pipeline - 1) / c.Pipeline)
}

// microBatches is the micro-batch count that n requests run with: m when it
// divides them, else one.
func microBatches(n, m int) int {
	if m > 0 && n%m == 0 {
		return m
	}
	return 1
}

func seconds(s float64) time.Duration { return time.Duration(s*1e9 + 0.5) }
