package catalog

import (
	"fmt"

	"github.com/spotserve/spotserve/core/cost"
)

// profileFile is data/profiles/GPU-MODEL.yaml.
type profileFile struct {
	Name          string          `yaml:"name"`
	Source        string          `yaml:"source,omitempty"`
	Model         string          `yaml:"model,omitempty"`
	GPU           string          `yaml:"gpu,omitempty"`
	Layers        int             `yaml:"layers"`
	PaddedLayers  int             `yaml:"padded_layers"`
	Hidden        int             `yaml:"hidden,omitempty"` // 0: the profile does not say
	PromptTokens  int             `yaml:"prompt_tokens"`
	FixFactor     float64         `yaml:"fix_factor"`
	PrefillCommMS float64         `yaml:"prefill_comm_ms"`
	DecodeCommMS  float64         `yaml:"decode_comm_ms"`
	EmbedMS       []float64       `yaml:"embed_ms,flow"`
	MaxTensor     int             `yaml:"max_tensor"`
	Tensors       []profileTensor `yaml:"tensors"`
}

type profileTensor struct {
	Tensor int          `yaml:"tensor"`
	Rows   []profileRow `yaml:"rows,flow"`
}

type profileRow struct {
	Batch     int     `yaml:"batch"`
	PrefillMS float64 `yaml:"prefill_ms"`
	DecodeMS  float64 `yaml:"decode_ms"`
}

const (
	maxLayerMS   = 1e6 // of one measured row
	maxFixFactor = 100
)

func (p profileFile) check(file string) error {
	c := checker{file: file}
	c.text("source", p.Source)
	p.checkAll(&c)
	return c.err()
}

func (p profileFile) checkAll(c *checker) {
	c.text("name", p.Name)
	c.count("layers", p.Layers, maxLayers)
	c.holds("padded_layers", p.PaddedLayers >= p.Layers && p.PaddedLayers <= maxLayers, "is %d, allowed is layers (%d) to %d", p.PaddedLayers, p.Layers, maxLayers)
	c.holds("hidden", p.Hidden >= 0 && p.Hidden <= maxHidden, "is %d, allowed is 1 to %d", p.Hidden, maxHidden)
	c.count("prompt_tokens", p.PromptTokens, maxTokens)
	c.positive("fix_factor", p.FixFactor, maxFixFactor)
	c.positive("prefill_comm_ms", p.PrefillCommMS, maxLayerMS)
	c.positive("decode_comm_ms", p.DecodeCommMS, maxLayerMS)
	for i, ms := range p.EmbedMS {
		c.positive(fmt.Sprintf("embed_ms[%d]", i), ms, maxLayerMS)
	}
	p.checkRows(c)
}

// checkRows requires degrees 1, 2, 4, ... up to max_tensor at least, each with
// the same batches 1, 2, 4, ..., so that every configuration has its row.
func (p profileFile) checkRows(c *checker) {
	c.holds("tensors", len(p.Tensors) > 0, "is empty")
	highest := 0
	for i, t := range p.Tensors {
		at := fmt.Sprintf("tensors[%d]", i)
		if want := 1 << i; t.Tensor != want {
			c.requireAt(at, false, "tensor degree %d stands where the rows of tensor degree %d belong", t.Tensor, want)
			return
		}
		highest = t.Tensor
		if first := p.Tensors[0].Rows; len(t.Rows) == 0 || len(t.Rows) != len(first) {
			c.requireAt(at, false, "tensor degree %d has %d batches, tensor degree 1 has %d", t.Tensor, len(t.Rows), len(first))
			return
		}
		for j, row := range t.Rows {
			at := fmt.Sprintf("%s.rows[%d]", at, j)
			c.requireAt(at, row.Batch == 1<<j, "tensor degree %d: batch %d stands where batch %d belongs", t.Tensor, row.Batch, 1<<j)
			for _, phase := range []struct {
				name string
				ms   float64
			}{{"prefill", row.PrefillMS}, {"decode", row.DecodeMS}} {
				c.requireAt(at, phase.ms > 0 && phase.ms <= maxLayerMS, "tensor degree %d, batch %d: %s is %v, allowed is above 0 up to %v", t.Tensor, row.Batch, phase.name, phase.ms, maxLayerMS)
			}
		}
		c.requireAt("embed_ms", len(p.EmbedMS) >= len(t.Rows), "embed has %d values for the %d batches of tensor degree %d", len(p.EmbedMS), len(t.Rows), t.Tensor)
	}
	c.holds("max_tensor", p.MaxTensor >= 1 && p.MaxTensor <= highest && p.MaxTensor&(p.MaxTensor-1) == 0,
		"is %d, allowed is a power of two up to the last tensor degree with rows, %d", p.MaxTensor, highest)
}

// maxBatch is the largest batch that every tensor degree has a row for.
func (p profileFile) maxBatch() int {
	rows := p.Tensors[0].Rows
	return rows[len(rows)-1].Batch
}

func (p profileFile) profile() cost.Profile {
	out := cost.Profile{
		Name:         p.Name,
		GPU:          p.GPU,
		PromptTokens: p.PromptTokens,
		FixFactor:    p.FixFactor,
		PrefillComm:  p.PrefillCommMS,
		DecodeComm:   p.DecodeCommMS,
		Embed:        p.EmbedMS,
		MaxTensor:    p.MaxTensor,
	}
	for _, t := range p.Tensors {
		tensor := cost.TensorProfile{Tensor: t.Tensor}
		for _, row := range t.Rows {
			tensor.Rows = append(tensor.Rows, cost.PhaseLatency{Batch: row.Batch, Prefill: row.PrefillMS, Decode: row.DecodeMS})
		}
		out.Tensors = append(out.Tensors, tensor)
	}
	return out
}
