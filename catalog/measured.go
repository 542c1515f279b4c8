package catalog

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/experiment"
)

// measuredFile is what spotserve profile writes of an engine on a machine: parts
// of an experiment file, each in the form that it has there.
type measuredFile struct {
	Source      string           `yaml:"source"`
	Model       *modelFile       `yaml:"model,omitempty"`
	Transformer *transformerFile `yaml:"transformer,omitempty"`
	Instance    *instanceFile    `yaml:"instance,omitempty"`
	Engine      *engineFile      `yaml:"engine,omitempty"`
	Profile     *profileFile     `yaml:"profile"`
}

// maxMeasuredFile bounds, in bytes, what is read into memory.
const maxMeasuredFile = 1 << 20

// readMeasured reads and checks a file of measurements. Paths in it are relative
// to its folder.
func readMeasured(name string, r io.Reader) (measuredFile, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxMeasuredFile+1))
	if err != nil {
		return measuredFile{}, fmt.Errorf("%s: %w", name, err)
	}
	if len(text) > maxMeasuredFile {
		return measuredFile{}, &FileError{File: name, Reason: fmt.Sprintf("the file is longer than %d bytes", maxMeasuredFile)}
	}
	root, err := parseYAML(name, text)
	if err != nil {
		return measuredFile{}, err
	}
	d := newDocument(name)
	file := measuredFile{}
	d.read("", root, reflect.ValueOf(&file).Elem())
	if len(d.errs) == 0 {
		file.checkAll(d)
	}
	if err := d.err(); err != nil {
		return measuredFile{}, err
	}
	if t := file.Transformer; t != nil {
		t.Weights = absoluteWeights(t.Weights, filepath.Dir(name))
	}
	return file, nil
}

func (f measuredFile) checkAll(d *document) {
	c := d.part("")
	c.text("source", f.Source)
	c.holds("profile", f.Profile != nil, "is missing")
	if f.Model != nil {
		f.Model.checkAll(d.part("model"))
	}
	if f.Transformer != nil {
		f.Transformer.checkAll(d.part("transformer"))
	}
	if f.Instance != nil {
		f.Instance.checkAll(d.part("instance"))
	}
	if f.Engine != nil {
		f.Engine.checkAll(d.part("engine"))
	}
	if f.Profile != nil {
		f.Profile.checkAll(d.part("profile"))
	}
}

// loadMeasured reads the measurements that the experiment names.
func (s *settler) loadMeasured() {
	const key = "measured"
	if !s.doc.has(key) {
		return
	}
	path, ok := s.path(key, s.file.Measured)
	if !ok {
		return
	}
	var err error
	s.measured, err = s.files.measurements(path)
	s.noteFile(key, err)
}

// profile reads a latency profile by the ending of its name: that of a file of
// measurements, or one of the artifact's format.
func (f *files) profile(path string) (profileFile, error) {
	if ending := strings.ToLower(filepath.Ext(path)); ending == ".yaml" || ending == ".yml" {
		measured, err := f.measurements(path)
		if err != nil {
			return profileFile{}, err
		}
		return *measured.Profile, nil
	}
	return readFile(path, readProfile)
}

// Measurement is what was measured of a model on a machine.
type Measurement struct {
	Model       string // its name
	Source      string // how it was measured, and on what
	Transformer experiment.TransformerModel
	Profile     cost.Profile
	Instance    cost.InstanceType
	Engine      cost.EngineCosts
	EngineName  string
}

// YAML is the measurement as a file that an experiment names by the key measured.
// Numbers have four significant digits. It fails where the file would be refused.
func (m Measurement) YAML() ([]byte, error) {
	shape, t := m.Transformer.Shape, m.Transformer
	model := modelFile{
		Name: m.Model, Layers: shape.Layers, Hidden: shape.Hidden, Heads: shape.Heads, KVHeads: shape.KVHeads, HeadDim: shape.HeadDim,
		FFN: shape.FFN, GatedFFN: true, Vocabulary: shape.Vocab, TiedEmbeddings: shape.TiedHead, BytesPerElement: 2,
	}
	if shape.DType == "f32" {
		model.BytesPerElement = 4
	}
	transformer := transformerFile{
		Weights: t.Weights, Context: shape.Context, Leaves: shape.Leaves, NormEps: shape.NormEps, RopeTheta: shape.Rope.Theta,
		PrefillChunkTokens: t.PrefillChunk,
	}
	if r := shape.Rope; r.Factor != 0 {
		transformer.RopeScaling = &ropeScalingFile{
			Factor: r.Factor, LowFreqFactor: r.LowFreqFactor, HighFreqFactor: r.HighFreqFactor, OriginalContext: r.OriginalContext,
		}
	}
	if shape.BOS >= 0 {
		begin := int(shape.BOS)
		transformer.BeginToken = &begin
	}
	for _, token := range t.Stop {
		transformer.StopTokens = append(transformer.StopTokens, int(token))
	}
	profile := profileFileOf(m.Profile, model)
	profile.Source, profile.PrefillCommMS, profile.DecodeCommMS = "", rounded(profile.PrefillCommMS), rounded(profile.DecodeCommMS)
	profile.FixFactor = rounded(profile.FixFactor)
	for i, ms := range profile.EmbedMS {
		profile.EmbedMS[i] = rounded(ms)
	}
	for _, tensor := range profile.Tensors {
		for i, row := range tensor.Rows {
			tensor.Rows[i].PrefillMS, tensor.Rows[i].DecodeMS = rounded(row.PrefillMS), rounded(row.DecodeMS)
		}
	}
	return measuredFile{
		Source: m.Source, Model: &model, Transformer: &transformer, Profile: &profile,
		Instance: m.instance(), Engine: m.engine(),
	}.yaml()
}

func (m Measurement) instance() *instanceFile {
	const gbit = 1e9 / 8
	i := m.Instance
	return &instanceFile{
		Name: i.Name, GPU: i.GPU, GPUs: i.GPUs, UsableGPUMemoryGB: rounded(float64(i.GPUMemoryBytes) / 1e9),
		InterNodeGbitPerS: rounded(i.InterNodeBytesPerSecond / gbit), IntraNodeGbitPerS: rounded(i.IntraNodeBytesPerSecond / gbit),
		SpotUSDPerHour: i.SpotUSDPerHour, OnDemandUSDPerHour: i.OnDemandUSDPerHour,
	}
}

func (m Measurement) engine() *engineFile {
	e := m.Engine
	seconds := func(d time.Duration) float64 { return rounded(d.Seconds()) }
	return &engineFile{
		Name: m.EngineName, ExecutionScale: cmp.Or(rounded(e.ExecutionScale), 1), JitterSigma: rounded(e.JitterSigma),
		EngineStartS: seconds(e.EngineStart), EngineStopS: seconds(e.EngineStop), DaemonRestartS: seconds(e.DaemonRestart),
		PlanningS: seconds(e.Planning), MigrationSetupS: seconds(e.MigrationSetup), DiskGBPerS: rounded(e.DiskBytesPerSecond / 1e9),
	}
}

// rounded is v with four significant digits.
func rounded(v float64) float64 {
	if v == 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		return v
	}
	unit := math.Pow(10, 4-math.Ceil(math.Log10(math.Abs(v))))
	return math.Round(v*unit) / unit
}

// yaml prints the file, if it can be read.
func (f measuredFile) yaml() ([]byte, error) {
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(f); err != nil {
		return nil, err
	}
	if err := encoder.Close(); err != nil {
		return nil, err
	}
	_, err := readMeasured("measurements", bytes.NewReader(out.Bytes()))
	return out.Bytes(), err
}
