package catalog

import (
	"bytes"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/agnivade/levenshtein"
	"go.yaml.in/yaml/v3"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
)

// sweepLists are the keys of a sweep with their values; sweepPoint is the values
// of one run. Both are kept as they stand: their keys are paths of the file.
type (
	sweepLists struct{ node *yaml.Node }
	sweepPoint struct{ values []experiment.SweepValue }
)

func (s *sweepLists) readNode(_ *document, _ string, n *yaml.Node) { s.node = n }

// IsZero leaves it out where Config prints.
func (s sweepLists) IsZero() bool { return s.node == nil }

// MarshalYAML prints what was read.
func (s sweepLists) MarshalYAML() (any, error) { return s.node, nil }

func (s *sweepPoint) readNode(d *document, path string, n *yaml.Node) {
	if !d.want(path, n, yaml.MappingNode, "a mapping of keys") {
		return
	}
	for _, e := range d.entries(path, n) {
		value := target(e.value)
		if value.Kind != yaml.ScalarNode {
			d.fail(value, "%s is %s, want a value", e.path, describe(value))
			continue
		}
		s.values = append(s.values, experiment.SweepValue{Key: e.key.Value, Value: value.Value})
	}
}

// IsZero leaves it out where Config prints.
func (s sweepPoint) IsZero() bool { return len(s.values) == 0 }

// MarshalYAML prints the point in its order.
func (s sweepPoint) MarshalYAML() (any, error) {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for _, v := range s.values {
		n.Content = append(n.Content, text(v.Key), text(v.Value))
	}
	return n, nil
}

func text(value string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(value)
	return n
}

// shortNames are what the keys of a sweep may be called instead of their paths.
var shortNames = map[string]string{
	"rate":          "arrivals.rate_rps",
	"cv":            "arrivals.cv",
	"prompt_tokens": "arrivals.prompt_tokens",
	"output_tokens": "arrivals.output_tokens",
	"grace":         "grace_s",
	"slo":           "slo_p99_s",
	"price":         "instance.spot_usd_per_hour",
	"max_instances": "provision.max_instances",
}

// point is one combination of the values of a sweep.
type point struct {
	root   *yaml.Node // the file without its sweep, with the values
	values []experiment.SweepValue
}

// axis is one key of a sweep.
type axis struct {
	key    string
	path   []string
	values []*yaml.Node
}

// sweep expands the sweep of a file; a file without one is one point.
func (d *document) sweep(root *yaml.Node) []point {
	whole := d.expand(root)
	if len(d.errs) > 0 {
		return nil
	}
	lists := child(whole, "sweep")
	if lists == nil {
		return []point{{root: whole, values: d.stated(whole)}}
	}
	if child(whole, "sweep_point") != nil {
		d.fail(lists, "sweep and sweep_point are both given: a file with a sweep_point is one run of a sweep")
		return nil
	}
	var axes []axis
	runs := 1
	if !d.want("sweep", lists, yaml.MappingNode, "a mapping of keys to lists of values") {
		return nil
	}
	for _, e := range d.entries("sweep", lists) {
		a, ok := d.axis(whole, e)
		if !ok {
			continue
		}
		if runs *= len(a.values); runs > maxRuns {
			d.fail(lists, "the sweep has more than %d points", maxRuns)
			return nil
		}
		axes = append(axes, a)
	}
	if len(axes) == 0 && len(d.errs) == 0 {
		d.fail(lists, "sweep is empty")
	}
	if len(d.errs) > 0 {
		return nil
	}
	remove(whole, "sweep")
	points := make([]point, runs)
	for i := range points {
		points[i] = d.pointOf(whole, axes, i)
	}
	return points
}

// stated is the point that the text of one run says it is.
func (d *document) stated(root *yaml.Node) []experiment.SweepValue {
	var p sweepPoint
	if n := child(root, "sweep_point"); n != nil {
		p.readNode(d, "sweep_point", n)
	}
	return p.values
}

// axis reads one key of a sweep.
func (d *document) axis(root *yaml.Node, e entry) (axis, bool) {
	a := axis{key: e.key.Value}
	path := a.key
	switch short, ok := shortNames[a.key]; {
	case ok:
		path = short
	case a.key == "instances":
		if path = fleetKey(root); path == "" {
			d.fail(e.key, "sweep.instances needs a trace of kind fixed or generate")
			return a, false
		}
	case slices.Contains(notSwept, a.key):
		d.fail(e.key, "key %q cannot be swept; seeds run every point with each seed", a.key)
		return a, false
	}
	if a.key == "rate" && child(child(root, "arrivals"), "file") != nil {
		path = "arrivals.rescale.rate_rps"
	}
	known := sweepKeys()
	if !slices.Contains(known, path) {
		names := slices.Concat(known, sorted(shortNames))
		slices.Sort(names)
		if near := nearest(a.key, names); near != "" && levenshtein.ComputeDistance(a.key, near) <= len(a.key)/2 {
			d.fail(e.key, "unknown key %q in sweep, did you mean %q?", a.key, near)
		} else {
			d.fail(e.key, "unknown key %q in sweep, allowed are keys of this file by their path (arrivals.rate_rps) and %s", a.key, strings.Join(sorted(shortNames), ", "))
		}
		return a, false
	}
	a.path = strings.Split(path, ".")
	if !d.want(e.path, e.value, yaml.SequenceNode, "a list of values") {
		return a, false
	}
	if a.values = e.value.Content; len(a.values) == 0 {
		d.fail(e.value, "%s is empty", e.path)
		return a, false
	}
	return a, true
}

// fleetKey is the path of the key that says how many instances the trace has; ""
// if none does.
func fleetKey(root *yaml.Node) string {
	trace := child(root, "trace")
	for _, form := range []string{"fixed", "generate"} {
		if child(trace, form) != nil {
			return "trace." + form + ".instances"
		}
	}
	return ""
}

// pointOf is the i-th combination of the axes' values, the last axis varying
// fastest.
func (d *document) pointOf(whole *yaml.Node, axes []axis, i int) point {
	p := point{root: clone(whole)}
	chosen := make([]*yaml.Node, len(axes))
	for k := len(axes) - 1; k >= 0; k-- {
		n := len(axes[k].values)
		chosen[k], i = axes[k].values[i%n], i/n
	}
	stated := &yaml.Node{Kind: yaml.MappingNode}
	for k, a := range axes {
		if len(a.path) == 1 && a.path[0] == "trace" && chosen[k].Kind == yaml.ScalarNode {
			set(p.root, []string{"trace"}, &yaml.Node{Kind: yaml.MappingNode, Line: chosen[k].Line}) // a trace of the catalogue
			set(p.root, []string{"trace", "name"}, chosen[k])
		} else {
			set(p.root, a.path, chosen[k])
		}
		value := experiment.SweepValue{Key: a.key, Value: oneLine(chosen[k])}
		p.values = append(p.values, value)
		stated.Content = append(stated.Content, text(value.Key), text(value.Value))
	}
	p.root.Content = append(p.root.Content, text("sweep_point"), stated)
	return p
}

// pathKeys are the keys whose values are paths.
var pathKeys = []string{"trace.file", "arrivals.file", "profile.file", "transformer.prompts", "measured"}

// run is the point with one seed. Paths are made absolute: a start has no
// folder.
func (p point) run(seed uint64, folder string) (CustomRun, error) {
	root := clone(p.root)
	for _, key := range pathKeys {
		path := root
		for name := range strings.SplitSeq(key, ".") {
			path = child(path, name)
		}
		if path != nil && !filepath.IsAbs(path.Value) {
			path.SetString(filepath.Join(folder, path.Value))
		}
	}
	if weights := child(child(root, "transformer"), "weights"); weights != nil {
		weights.SetString(absoluteWeights(weights.Value, folder))
	}
	remove(root, "seeds")
	set(root, []string{"seed"}, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: strconv.FormatUint(seed, 10)})
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(root); err != nil {
		return CustomRun{}, err
	}
	if err := encoder.Close(); err != nil {
		return CustomRun{}, err
	}
	return CustomRun{
		Start: event.StartExperiment{Experiment: experiment.Custom, YAML: out.String()},
		Seed:  seed, Sweep: p.values,
	}, nil
}

// oneLine is a value as figures and tables show it.
func oneLine(n *yaml.Node) string {
	if n.Kind == yaml.ScalarNode {
		return n.Value
	}
	flow := clone(n)
	flow.Style = yaml.FlowStyle
	out, err := yaml.Marshal(flow)
	if err != nil {
		return describe(n)
	}
	return shorten(strings.Join(strings.Fields(string(out)), " "))
}

// expand copies a node with its aliases and merge keys written out, and without
// anchors.
func (d *document) expand(n *yaml.Node) *yaml.Node {
	if !d.spend(n) {
		return nil
	}
	if n = target(n); d.open[n] {
		d.fail(n, "an alias stands for what it is part of")
		return nil
	}
	d.open[n] = true
	defer delete(d.open, n)
	out := *n
	out.Anchor, out.Alias, out.Content = "", nil, nil
	switch n.Kind {
	case yaml.MappingNode:
		for _, e := range d.entries("", n) {
			value := d.expand(e.value)
			if value == nil {
				return nil
			}
			key := *e.key
			key.Anchor = ""
			out.Content = append(out.Content, &key, value)
		}
	default:
		for _, item := range n.Content {
			value := d.expand(item)
			if value == nil {
				return nil
			}
			out.Content = append(out.Content, value)
		}
	}
	return &out
}

func clone(n *yaml.Node) *yaml.Node {
	out := *n
	out.Content = make([]*yaml.Node, len(n.Content))
	for i, item := range n.Content {
		out.Content[i] = clone(item)
	}
	return &out
}

// child is the value of a key of a mapping; nil if there is none.
func child(n *yaml.Node, key string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

// set gives the key at a path its value, and makes the mappings on the way. A
// name in the place of a mapping becomes the mapping's base.
func set(n *yaml.Node, path []string, value *yaml.Node) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value != path[0] {
			continue
		}
		if len(path) == 1 {
			n.Content[i+1] = value
			return
		}
		inner := n.Content[i+1]
		if inner.Kind == yaml.ScalarNode {
			base := *inner
			inner = &yaml.Node{Kind: yaml.MappingNode, Line: base.Line, Content: []*yaml.Node{text("base"), &base}}
			n.Content[i+1] = inner
		}
		if inner.Kind == yaml.MappingNode {
			set(inner, path[1:], value)
		}
		return
	}
	key := text(path[0])
	key.Line = value.Line
	if len(path) == 1 {
		n.Content = append(n.Content, key, value)
		return
	}
	inner := &yaml.Node{Kind: yaml.MappingNode, Line: value.Line}
	set(inner, path[1:], value)
	n.Content = append(n.Content, key, inner)
}

func remove(n *yaml.Node, key string) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			n.Content = slices.Delete(n.Content, i, i+2)
			return
		}
	}
}

// keyed is a value whose keys are those of other types: one of several forms.
type keyed interface{ keysOf() []reflect.Type }

// sweepKeys are the paths of all keys that a sweep can vary.
func sweepKeys() []string {
	var keys []string
	var visit func(prefix string, t reflect.Type)
	visit = func(prefix string, t reflect.Type) {
		if t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		if k, ok := reflect.TypeAssert[keyed](reflect.Zero(t)); ok {
			for _, form := range k.keysOf() {
				visit(prefix, form)
			}
			return
		}
		if t.Kind() != reflect.Struct {
			return
		}
		_, names := yamlFields(t)
		for i, name := range names {
			path := join(prefix, name)
			keys = append(keys, path)
			visit(path, t.Field(i).Type)
		}
	}
	visit("", reflect.TypeFor[customFile]())
	keys = slices.DeleteFunc(keys, func(key string) bool { return slices.Contains(notSwept, key) })
	slices.Sort(keys)
	return slices.Compact(keys)
}

// notSwept are the keys that make a run what it is.
var notSwept = []string{"name", "description", "source", "seed", "seeds", "sweep", "sweep_point"}

// keysOf is none: the keys of a sweep are paths.
func (sweepLists) keysOf() []reflect.Type { return nil }

// keysOf is none: the keys of a point are paths.
func (sweepPoint) keysOf() []reflect.Type { return nil }
