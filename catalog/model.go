package catalog

import "github.com/spotserve/spotserve/core/cost"

// modelFile is data/models/NAME.yaml.
type modelFile struct {
	Name            string  `yaml:"name"`
	Source          string  `yaml:"source,omitempty"`
	Description     string  `yaml:"description,omitempty"`
	Layers          int     `yaml:"layers"`
	PaddedLayers    int     `yaml:"padded_layers,omitempty"` // 0: layers
	Hidden          int     `yaml:"hidden"`
	Heads           int     `yaml:"heads,omitempty"`    // 0: the matrices are not known
	KVHeads         int     `yaml:"kv_heads,omitempty"` // 0: heads
	HeadDim         int     `yaml:"head_dim,omitempty"` // 0: hidden / heads
	FFN             int     `yaml:"ffn,omitempty"`      // 0: 4 x hidden
	GatedFFN        bool    `yaml:"gated_ffn,omitempty"`
	Vocabulary      int     `yaml:"vocabulary,omitempty"`
	TiedEmbeddings  bool    `yaml:"tied_embeddings,omitempty"`
	WeightsGB       float64 `yaml:"weights_gb,omitempty"` // 0: from the matrices
	BytesPerElement int     `yaml:"bytes_per_element"`
	// KVBytesPerToken is the KV cache of a token over all layers; 0: from the
	// dimensions.
	KVBytesPerToken int64 `yaml:"kv_bytes_per_token,omitempty"`
	MinGPUs         int   `yaml:"min_gpus,omitempty"` // 0: by memory
	// MinGPUsOn is the GPU type that min_gpus was published for: on others memory
	// decides. "": it holds everywhere.
	MinGPUsOn string `yaml:"min_gpus_on,omitempty"`
	// MinGPUsWithoutMigrationPlanner is the minimum of an ablation that cannot
	// order a migration by the memory it takes; 0: not published.
	MinGPUsWithoutMigrationPlanner int `yaml:"min_gpus_without_migration_planner,omitempty"`
}

// Limits of what a model can be; they keep byte counts and durations far from
// overflow.
const (
	maxLayers     = 10_000
	maxHidden     = 1 << 20
	maxHeads      = 1 << 14
	maxFFN        = 1 << 22
	maxVocabulary = 1 << 24
	maxWeightsGB  = 1e5
	maxKVBytes    = 1 << 30
	maxTokens     = 1 << 20
	maxGPUs       = 1 << 16
)

// filled returns the model with what follows from other dimensions.
func (m modelFile) filled() modelFile {
	if m.PaddedLayers == 0 {
		m.PaddedLayers = m.Layers
	}
	if m.Heads == 0 {
		return m
	}
	if m.KVHeads == 0 {
		m.KVHeads = m.Heads
	}
	if m.HeadDim == 0 {
		m.HeadDim = m.Hidden / m.Heads
	}
	if m.FFN == 0 {
		m.FFN = 4 * m.Hidden
	}
	return m
}

func (m modelFile) check(file string) error {
	c := checker{file: file}
	c.text("source", m.Source)
	m.checkAll(&c)
	return c.err()
}

func (m modelFile) checkAll(c *checker) {
	inferred := m.HeadDim == 0
	m = m.filled()
	c.text("name", m.Name)
	c.count("layers", m.Layers, maxLayers)
	c.holds("padded_layers", m.PaddedLayers >= m.Layers && m.PaddedLayers <= maxLayers, "is %d, allowed is layers (%d) to %d", m.PaddedLayers, m.Layers, maxLayers)
	c.count("hidden", m.Hidden, maxHidden)
	c.count("bytes_per_element", m.BytesPerElement, 8)
	if m.Heads != 0 {
		c.count("heads", m.Heads, maxHeads)
		c.count("kv_heads", m.KVHeads, maxHeads)
		c.holds("kv_heads", m.KVHeads < 1 || m.Heads%m.KVHeads == 0, "is %d, allowed are divisors of heads (%d)", m.KVHeads, m.Heads)
		c.holds("heads", m.HeadDim*m.Heads == m.Hidden || !inferred, "is %d, which does not divide hidden (%d): head_dim is missing", m.Heads, m.Hidden)
		c.count("head_dim", m.HeadDim, maxHeads)
		c.count("ffn", m.FFN, maxFFN)
	}
	c.holds("vocabulary", m.Vocabulary >= 0 && m.Vocabulary <= maxVocabulary, "is %d, allowed is 1 to %d", m.Vocabulary, maxVocabulary)
	if m.WeightsGB != 0 {
		c.positive("weights_gb", m.WeightsGB, maxWeightsGB)
	} else {
		c.holds("weights_gb", m.Heads > 0 && m.Vocabulary > 0, "is missing, and so are heads and vocabulary, from which it would follow")
	}
	c.holds("kv_bytes_per_token", m.KVBytesPerToken >= 0 && m.KVBytesPerToken <= maxKVBytes, "is %d, allowed is 1 to %d", m.KVBytesPerToken, maxKVBytes)
	c.holds("min_gpus", m.MinGPUs >= 0 && m.MinGPUs <= maxGPUs, "is %d, allowed is 0 (by memory) to %d", m.MinGPUs, maxGPUs)
	if n := m.MinGPUsWithoutMigrationPlanner; n != 0 {
		c.holds("min_gpus_without_migration_planner", n >= m.MinGPUs && n <= maxGPUs, "is %d, allowed is min_gpus (%d) to %d", n, m.MinGPUs, maxGPUs)
	}
}

// withProfile returns the model with the dimensions that the profile was
// measured at, since its times are for one layer of those.
func (m modelFile) withProfile(p profileFile) modelFile {
	m.Layers, m.PaddedLayers = p.Layers, p.PaddedLayers
	if p.Hidden != 0 {
		m.Hidden = p.Hidden
	}
	return m
}

// on returns the model as it is on a GPU type.
func (m modelFile) on(gpu string) modelFile {
	if m.MinGPUsOn != "" && m.MinGPUsOn != gpu {
		m.MinGPUs, m.MinGPUsWithoutMigrationPlanner = 0, 0
	}
	return m
}

// sameMatrices reports whether the times of one model are those of the other.
func (m modelFile) sameMatrices(o modelFile) bool {
	return m.Layers == o.Layers && m.Hidden == o.Hidden && m.BytesPerElement == o.BytesPerElement && m.architecture() == o.architecture()
}

// architecture is the model by its matrices; its Check fails where those are
// not known.
func (m modelFile) architecture() cost.Architecture {
	m = m.filled()
	return cost.Architecture{
		Name:            m.Name,
		Layers:          m.Layers,
		Hidden:          m.Hidden,
		Heads:           m.Heads,
		KVHeads:         m.KVHeads,
		HeadDim:         m.HeadDim,
		FFN:             m.FFN,
		Gated:           m.GatedFFN,
		Vocabulary:      m.Vocabulary,
		TiedEmbeddings:  m.TiedEmbeddings,
		BytesPerElement: m.BytesPerElement,
	}
}

func (m modelFile) model() cost.Model {
	m = m.filled()
	out := cost.Model{
		Name:            m.Name,
		Layers:          m.Layers,
		PaddedLayers:    m.PaddedLayers,
		Hidden:          m.Hidden,
		WeightBytes:     gigabytes(m.WeightsGB),
		KVBytesPerToken: m.KVBytesPerToken,
		MinGPUs:         m.MinGPUs,
	}
	if m.WeightsGB == 0 {
		out.WeightBytes = m.architecture().WeightBytes()
	}
	switch {
	case m.KVBytesPerToken > 0:
	case m.Heads > 0:
		out.KVBytesPerToken = m.architecture().KVBytesPerToken()
	default:
		out.KVBytesPerToken = 2 * int64(m.Layers) * int64(m.Hidden) * int64(m.BytesPerElement)
	}
	return out
}
