package catalog

import (
	"reflect"

	"go.yaml.in/yaml/v3"

	"github.com/spotserve/spotserve/core/lengths"
)

// tokenSource is how long prompts or answers are: a number, or a mapping with a
// distribution.
type tokenSource struct{ lengths.Distribution }

type tokensFile struct {
	Distribution lengths.Kind  `yaml:"distribution"`
	Tokens       int           `yaml:"tokens,omitempty"`
	Min          int           `yaml:"min,omitempty"`
	Max          int           `yaml:"max,omitempty"`
	Mean         float64       `yaml:"mean,omitempty"`
	Sigma        float64       `yaml:"sigma,omitempty"`
	Values       []tokensValue `yaml:"values,omitempty"`
}

type tokensValue struct {
	Tokens int     `yaml:"tokens"`
	Weight float64 `yaml:"weight"`
}

// tokenKeys are the keys that each distribution uses.
var tokenKeys = map[lengths.Kind][]string{
	lengths.Fixed:     {"tokens"},
	lengths.Uniform:   {"min", "max"},
	lengths.LogNormal: {"mean", "sigma", "min", "max"},
	lengths.Weighted:  {"values"},
}

func (tokenSource) keysOf() []reflect.Type { return []reflect.Type{reflect.TypeFor[tokensFile]()} }

func (t *tokenSource) readNode(d *document, path string, n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		t.Kind = lengths.Fixed
		d.read(path, n, reflect.ValueOf(&t.Tokens).Elem())
		return
	}
	file := tokensFile{Min: 1}
	d.readStruct(path, n, reflect.ValueOf(&file).Elem())
	t.Distribution = lengths.Distribution{
		Kind: file.Distribution, Tokens: file.Tokens, Min: file.Min, Max: file.Max, Mean: file.Mean, Sigma: file.Sigma,
	}
	for _, v := range file.Values {
		t.Values = append(t.Values, lengths.Value(v))
	}
	d.onlyKeys(path, "distribution", string(file.Distribution), tokenKeys[file.Distribution])
}

// check requires a distribution that can be drawn from.
func (t tokenSource) check(c *checker, key string) {
	if err := t.Check(); err != nil {
		c.requireAt(key, false, "%s: %v", c.name(key), err)
	}
}

// MarshalYAML prints a fixed length as a number.
func (t tokenSource) MarshalYAML() (any, error) {
	if t.Kind == lengths.Fixed {
		return t.Tokens, nil
	}
	file := tokensFile{Distribution: t.Kind, Tokens: t.Tokens, Min: t.Min, Max: t.Max, Mean: t.Mean, Sigma: t.Sigma}
	for _, v := range t.Values {
		file.Values = append(file.Values, tokensValue(v))
	}
	return file, nil
}

// IsZero leaves out what a file does not say.
func (t tokenSource) IsZero() bool { return t.Kind == "" }
