package catalog

import (
	"math"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/spotserve/spotserve/core/cost"
)

// profileSource is the latency profile of an experiment file: a name of the
// catalogue, a file of the artifact's format or of spotserve profile, an
// estimate, or the profile itself. Left out, it is that of the file's
// measurements, the catalogue's for GPU and model, or else an estimate.
type profileSource struct {
	node  *yaml.Node   // as the user wrote it
	value *profileFile // as Config prints it
}

// estimateFile asks for a profile that is computed, not measured.
type estimateFile struct {
	Estimate            string  `yaml:"estimate"`
	Compute             float64 `yaml:"compute_efficiency"`
	Memory              float64 `yaml:"memory_efficiency"`
	Link                float64 `yaml:"link_efficiency"`
	LayerOverheadUS     float64 `yaml:"layer_overhead_us"`
	DecodeContextTokens int     `yaml:"decode_context_tokens"`
	MaxTensor           int     `yaml:"max_tensor"`
}

// estimateRoofline is the one way to estimate a profile.
const estimateRoofline = "roofline"

// profilePath names a profile in a file of its own.
type profilePath struct {
	File string `yaml:"file"`
}

func (p *profileSource) readNode(_ *document, _ string, n *yaml.Node) { p.node = n }

// MarshalYAML prints the profile in full.
func (p profileSource) MarshalYAML() (any, error) { return p.value, nil }

// IsZero leaves out what a file does not say.
func (p profileSource) IsZero() bool { return p.value == nil }

// keysOf are those of the forms of a mapping in the place of a profile.
func (profileSource) keysOf() []reflect.Type {
	return []reflect.Type{reflect.TypeFor[profilePath](), reflect.TypeFor[estimateFile](), reflect.TypeFor[profileFile]()}
}

// loadProfile settles the latency profile of an experiment file.
func (s *settler) loadProfile() {
	const key = "profile"
	c, node := s.doc.part(key), s.file.Profile.node
	keys := mappingKeys(node)
	switch {
	case node == nil && s.measured.Profile != nil:
		s.profile = *s.measured.Profile
	case node == nil:
		s.defaultProfile()
	case node.Kind != yaml.MappingNode:
		var ok bool
		if s.profile, ok = lookUp(s.doc, key, node, s.lib.profiles); ok && s.instance.GPU != "" {
			c.require(s.profile.GPU == s.instance.GPU, "profile %q was measured on %s, the instance %q has %s", node.Value, s.profile.GPU, s.instance.Name, s.instance.GPU)
		}
	case slices.Contains(keys, "file"):
		var file profilePath
		s.doc.readStruct(key, node, reflect.ValueOf(&file).Elem())
		if path, ok := s.path("profile.file", file.File); ok {
			var err error
			s.profile, err = s.files.profile(path)
			s.noteFile("profile.file", err)
			s.profile.Model, s.profile.GPU = s.model.Name, s.instance.GPU
		}
	case slices.Contains(keys, "estimate"):
		s.estimateProfile(node)
	default:
		s.profile = profileFile{Name: "custom", GPU: s.instance.GPU, Model: s.model.Name}
		s.doc.readStruct(key, node, reflect.ValueOf(&s.profile).Elem())
		s.profile.checkAll(c)
	}
	if len(s.doc.errs) > 0 {
		return
	}
	s.fitModelToProfile(c)
}

// defaultProfile takes the catalogue's measured profile of GPU and model, as
// long as the model is the one that was measured; else it estimates one.
func (s *settler) defaultProfile() {
	p, measured := s.lib.profiles[s.lib.profile(s.model.Name, s.instance.GPU)]
	if known, ok := s.lib.models[s.model.Name]; measured && ok && s.model.sameMatrices(known) {
		s.profile = p
		return
	}
	s.estimateProfile(nil)
}

// estimateProfile computes the profile from data sheets, with the settings of
// the file if it has any.
func (s *settler) estimateProfile(node *yaml.Node) {
	usual := cost.DefaultEfficiencies()
	file := estimateFile{
		Estimate: estimateRoofline, Compute: usual.Compute, Memory: usual.Memory, Link: usual.Link,
		LayerOverheadUS: float64(usual.LayerOverhead) / float64(time.Microsecond),
	}
	c := s.doc.part("profile")
	if node != nil {
		s.doc.readStruct("profile", node, reflect.ValueOf(&file).Elem())
		c.holds("estimate", file.Estimate == estimateRoofline, "is %q, allowed is %s", file.Estimate, estimateRoofline)
		c.notNegative("layer_overhead_us", file.LayerOverheadUS, maxLayerMS)
		c.holds("decode_context_tokens", file.DecodeContextTokens >= 0 && file.DecodeContextTokens <= maxTokens, "is %d, allowed is 1 to %d", file.DecodeContextTokens, maxTokens)
		c.positive("compute_efficiency", file.Compute, 1)
		c.positive("memory_efficiency", file.Memory, 1)
		c.positive("link_efficiency", file.Link, 1)
	}
	if len(s.doc.errs) > 0 {
		return
	}
	gpu, ok := s.lib.gpus[s.instance.GPU]
	s.doc.part("instance").holds("gpu", ok, "is %q, of which the catalogue knows no data sheet to estimate a profile from: allowed are %s, or a measured profile", s.instance.GPU, strings.Join(sorted(s.lib.gpus), ", "))
	s.doc.part("model").requireAt("", s.model.Heads > 0, "model %q: heads, ffn and vocabulary are missing, from which a profile could be estimated; no measured one is known for %s", s.model.Name, s.instance.GPU)
	if len(s.doc.errs) > 0 {
		return
	}
	a := s.model.architecture()
	if file.MaxTensor == 0 {
		file.MaxTensor = min(a.MaxTensor(), powerOfTwo(max(8, s.instance.GPUs)))
	}
	estimate := roofline(s.model, gpu, s.instance)
	estimate.DecodeContext = file.DecodeContextTokens
	estimate.Efficiencies = cost.Efficiencies{
		Compute: file.Compute, Memory: file.Memory, Link: file.Link,
		LayerOverhead: time.Duration(math.Round(file.LayerOverheadUS * float64(time.Microsecond))),
	}
	p, err := estimate.Profile(max(1, s.arrivals.prompts.mean), file.MaxTensor, max(1, s.file.BatchLimit))
	if err != nil {
		c.require(false, "estimate of the profile: %v", err)
		return
	}
	s.profile = profileFileOf(p, s.model)
}

// powerOfTwo is the largest one that is not above n, which is positive.
func powerOfTwo(n int) int {
	p := 1
	for 2*p <= n {
		p *= 2
	}
	return p
}

// fitModelToProfile requires the layers that the times are of, and batches that
// the profile has.
func (s *settler) fitModelToProfile(c *checker) {
	m, p := s.model, s.profile
	c.require(m.Layers == p.Layers, "profile %q is of %d layers, model %q has %d", p.Name, p.Layers, m.Name, m.Layers)
	c.require(p.Hidden == 0 || m.Hidden == p.Hidden, "profile %q is of a model %d wide, model %q is %d wide", p.Name, p.Hidden, m.Name, m.Hidden)
	s.doc.part("").holds("batch_limit", s.file.BatchLimit <= p.maxBatch() || s.continuous(),
		"is %d, allowed is 1 to %d, the largest batch of profile %q", s.file.BatchLimit, p.maxBatch(), p.Name)
	if m.PaddedLayers != 0 && s.doc.has("model.padded_layers") {
		c.require(m.PaddedLayers == p.PaddedLayers, "profile %q pads to %d layers, model %q to %d", p.Name, p.PaddedLayers, m.Name, m.PaddedLayers)
	}
	s.model = m.withProfile(p)
}

// profileFileOf is the file of an estimated profile.
func profileFileOf(p cost.Profile, m modelFile) profileFile {
	file := profileFile{
		Name: p.Name, Source: "estimated by roofline", Model: m.Name, GPU: p.GPU,
		Layers: m.Layers, PaddedLayers: max(m.Layers, m.PaddedLayers), Hidden: m.Hidden,
		PromptTokens: p.PromptTokens, FixFactor: p.FixFactor, PrefillCommMS: p.PrefillComm, DecodeCommMS: p.DecodeComm,
		EmbedMS: p.Embed, MaxTensor: p.MaxTensor,
	}
	for _, t := range p.Tensors {
		tensor := profileTensor{Tensor: t.Tensor}
		for _, row := range t.Rows {
			tensor.Rows = append(tensor.Rows, profileRow{Batch: row.Batch, PrefillMS: row.Prefill, DecodeMS: row.Decode})
		}
		file.Tensors = append(file.Tensors, tensor)
	}
	return file
}
