package catalog

import "github.com/spotserve/spotserve/core/cost"

// modelFile is data/models/NAME.yaml.
type modelFile struct {
	Name            string  `yaml:"name"`
	Source          string  `yaml:"source"`
	Description     string  `yaml:"description"`
	Layers          int     `yaml:"layers"`
	PaddedLayers    int     `yaml:"padded_layers"`
	Hidden          int     `yaml:"hidden"`
	WeightsGB       float64 `yaml:"weights_gb"`
	BytesPerElement int     `yaml:"bytes_per_element"`
	MinGPUs         int     `yaml:"min_gpus"`
	// MinGPUsWithoutMigrationPlanner is the minimum of an ablation that cannot
	// order a migration by the memory it takes; 0: not published.
	MinGPUsWithoutMigrationPlanner int `yaml:"min_gpus_without_migration_planner,omitempty"`
}

// Limits of what a model can be; they keep byte counts and durations far from
// overflow.
const (
	maxLayers    = 10_000
	maxHidden    = 1 << 20
	maxWeightsGB = 1e5
	maxTokens    = 1 << 20
	maxGPUs      = 1 << 16
)

func (m modelFile) check(file string) error {
	c := checker{file: file}
	c.text("name", m.Name)
	c.text("source", m.Source)
	c.count("layers", m.Layers, maxLayers)
	c.require(m.PaddedLayers >= m.Layers && m.PaddedLayers <= maxLayers, "padded_layers is %d, allowed is layers (%d) to %d", m.PaddedLayers, m.Layers, maxLayers)
	c.count("hidden", m.Hidden, maxHidden)
	c.positive("weights_gb", m.WeightsGB, maxWeightsGB)
	c.count("bytes_per_element", m.BytesPerElement, 8)
	c.require(m.MinGPUs >= 0 && m.MinGPUs <= maxGPUs, "min_gpus is %d, allowed is 0 (by memory) to %d", m.MinGPUs, maxGPUs)
	if n := m.MinGPUsWithoutMigrationPlanner; n != 0 {
		c.require(n >= m.MinGPUs && n <= maxGPUs, "min_gpus_without_migration_planner is %d, allowed is min_gpus (%d) to %d", n, m.MinGPUs, maxGPUs)
	}
	return c.err()
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

func (m modelFile) model() cost.Model {
	return cost.Model{
		Name:            m.Name,
		Layers:          m.Layers,
		PaddedLayers:    m.PaddedLayers,
		Hidden:          m.Hidden,
		WeightBytes:     gigabytes(m.WeightsGB),
		KVBytesPerToken: 2 * int64(m.Layers) * int64(m.Hidden) * int64(m.BytesPerElement),
		MinGPUs:         m.MinGPUs,
	}
}
