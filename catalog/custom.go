package catalog

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
)

// Limits of an experiment file. Its text has to travel in one message, of which
// NATS lets pass 1 MiB; escapes may take half of that.
const (
	maxCustomFile = 512 << 10
	maxRuns       = 10_000
	maxRunsText   = 256 << 20 // of all runs together
	maxErrors     = 20        // that one answer lists
)

// Names of experiments become parts of file names.
var experimentName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,100}$`)

// Custom is an experiment file of a user: one run, or a sweep of them.
type Custom struct {
	name string
	runs []CustomRun
}

// CustomRun is one run of an experiment file.
type CustomRun struct {
	// Start asks for the run: experiment.Custom with a text that stands for this
	// run alone and needs no folder.
	Start event.StartExperiment
	Seed  uint64
	Sweep []experiment.SweepValue // the run's point in the sweep; none without one
}

// ReadCustom reads an experiment file (docs/experiments.md, "Experiments of your
// own") and checks all of it: keys and values, what it names, the files that it
// names, every point of its sweep. Paths in it are relative to the file's
// folder. What is wrong comes back as FileErrors, all that were found, joined.
func ReadCustom(file string, text []byte) (*Custom, error) {
	d, root, err := customDocument(file, text)
	if err != nil {
		return nil, err
	}
	d.folder, err = filepath.Abs(filepath.Dir(file))
	if err != nil {
		return nil, err
	}
	points := d.sweep(root)
	if len(d.errs) > 0 {
		return nil, d.err()
	}
	custom := &Custom{}
	files := newFiles()
	for _, p := range points {
		s := d.settle(builtin(), p.root, files, event.StartOptions{})
		if len(s.doc.errs) > 0 {
			d.errs = append(d.errs, s.doc.errs...)
			if len(d.errs) > maxErrors {
				break
			}
			continue
		}
		custom.name = s.file.Name
		for i, seed := range s.seeds() {
			if i > 0 && s.file.Trace.Generate != nil {
				d.errs = append(d.errs, d.settle(builtin(), p.root, files, event.StartOptions{Seed: seed}).doc.errs...)
			}
			run, err := p.run(seed, d.folder)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
			if err := d.checkSize(len(points)*len(s.seeds()), len(run.Start.YAML)); err != nil {
				return nil, err
			}
			custom.runs = append(custom.runs, run)
		}
	}
	if err := d.err(); err != nil {
		return nil, err
	}
	return custom, nil
}

// checkSize bounds the runs of a file: their number, and the memory that they
// take, each with a text of so many bytes.
func (d *document) checkSize(runs, text int) error {
	switch {
	case runs > maxRuns:
		return &FileError{File: d.file, Line: d.line("sweep"), Reason: fmt.Sprintf("sweep and seeds are %d runs, allowed are %d", runs, maxRuns)}
	case runs*text > maxRunsText:
		return &FileError{File: d.file, Reason: fmt.Sprintf("%d runs of a file of this length are more than %d MiB: put what is long into files of its own", runs, maxRunsText>>20)}
	}
	return nil
}

// Name is the name that the file gives the experiment.
func (c *Custom) Name() string { return c.name }

// Runs returns the runs: the points of the sweep in the order of its keys, the
// last of them varying fastest, each with every seed. There is at least one.
func (c *Custom) Runs() []CustomRun { return slices.Clone(c.runs) }

// customDocument parses the text of an experiment file.
func customDocument(file string, text []byte) (*document, *yaml.Node, error) {
	if len(text) > maxCustomFile {
		return nil, nil, &FileError{File: file, Reason: fmt.Sprintf("the file has %d bytes, allowed are %d", len(text), maxCustomFile)}
	}
	root, err := parseYAML(file, text)
	if err != nil {
		return nil, nil, err
	}
	d := newDocument(file)
	d.want("", root, yaml.MappingNode, "a mapping of keys")
	if err := d.err(); err != nil {
		return nil, nil, err
	}
	return d, root, nil
}

// err is all that was found, each once, as far as an answer should be long.
func (d *document) err() error {
	seen := make(map[string]bool)
	var out []error
	slices.SortStableFunc(d.errs, d.compareLines)
	for _, err := range d.errs {
		if seen[err.Error()] {
			continue
		}
		seen[err.Error()] = true
		if len(out) == maxErrors {
			return errors.Join(append(out, fmt.Errorf("%s: and more", d.file))...)
		}
		out = append(out, err)
	}
	return errors.Join(out...)
}

// compareLines orders errors as they stand in the file; those of other files come
// last.
func (d *document) compareLines(a, b error) int {
	place := func(err error) int {
		if e, ok := errors.AsType[*FileError](err); ok && e.File == d.file {
			return e.Line
		}
		return math.MaxInt
	}
	return cmp.Compare(place(a), place(b))
}

// resolveCustom settles the one run that the text of a start stands for.
func resolveCustom(lib *library, start event.StartExperiment) (*resolved, error) {
	if err := foreignOptions(start); err != nil {
		return nil, err
	}
	if start.YAML == "" {
		return nil, &RefusedError{What: "yaml", Reason: "is empty, want the text of an experiment file"}
	}
	d, root, err := customDocument("yaml", []byte(start.YAML))
	if err != nil {
		return nil, err
	}
	points := d.sweep(root)
	if err := d.err(); err != nil {
		return nil, err
	}
	s := d.settle(lib, points[0].root, newFiles(), start.Options)
	if err := s.doc.err(); err != nil {
		return nil, err
	}
	if n := len(points) * len(s.seeds()); n != 1 {
		return nil, &RefusedError{What: "experiment", Got: s.file.Name, Reason: fmt.Sprintf("stands for %d runs, by sweep or seeds; a start is one run", n)}
	}
	return s.resolved, nil
}

// settler settles an experiment file: it fills in the parts that the file names.
type settler struct {
	*resolved
	lib      *library
	doc      *document
	files    *files
	measured measuredFile // of a file of spotserve profile; zero without one
}

// settle reads one run of a document and looks up what it names. Errors are in
// the settler's document.
func (d *document) settle(lib *library, root *yaml.Node, files *files, o event.StartOptions) *settler {
	doc := newDocument(d.file)
	doc.folder = d.folder
	s := &settler{resolved: &resolved{kind: experiment.Custom, file: newCustomFile()}, lib: lib, doc: doc, files: files}
	doc.read("", root, reflect.ValueOf(&s.file).Elem())
	if len(doc.errs) > 0 {
		return s
	}
	s.checkName()
	s.override(o)
	s.loadMeasured()
	s.check()
	if len(doc.errs) == 0 || !doc.has("measured") {
		s.loadParts() // without what was measured, most would seem to be missing
	}
	if len(doc.errs) == 0 {
		s.loadTransformer()
	}
	if len(doc.errs) == 0 {
		s.loadPrompts()
		s.loadTrace()
		s.planArrivals()
	}
	if len(doc.errs) == 0 {
		s.loadProfile()
		s.checkLengths()
	}
	if len(doc.errs) == 0 {
		s.checkFit()
	}
	return s
}

// seeds are the seeds that the file runs with.
func (s *settler) seeds() []uint64 {
	if s.doc.has("seeds") {
		return s.file.Seeds
	}
	return []uint64{s.file.Seed}
}

// loadParts looks up instance, model and engine.
func (s *settler) loadParts() {
	known := s.measured
	i := part(s, "instance", s.file.Instance.node, s.lib.instances, instanceFile{Name: "custom"}, known.Instance)
	m := part(s, "model", s.file.Model.node, s.lib.models, modelFile{Name: "custom", BytesPerElement: 2}, known.Model)
	usual := s.lib.engines[defaultEngine]
	if s.transforms() {
		usual = s.lib.engines[transformerEngine]
	}
	if known.Engine == nil {
		known.Engine = &usual
	}
	e := part(s, "engine", s.file.Engine.node, s.lib.engines, usual, known.Engine)
	s.instance, s.model, s.engine = i, m.on(i.GPU), e
}

// The catalogue's names of the engines whose values a file need not say.
const (
	defaultEngine     = "fastertransformer-t4"
	transformerEngine = "transformer-cpu"
)

// part is a part of an experiment file that stands under a key: a name of the
// catalogue, or a mapping over usual values or those of a base. Where there is a
// whole one, a mapping without base is over that, and the key may be left out.
func part[T interface{ checkAll(*checker) }](s *settler, key string, node *yaml.Node, known map[string]T, value T, whole *T) T {
	if whole != nil {
		value = *whole
	}
	switch {
	case node == nil:
		s.doc.part("").require(whole != nil, "%s is missing: a name of the catalogue, or a mapping", key)
		return value
	case node.Kind != yaml.MappingNode:
		value, _ = lookUp(s.doc, key, node, known)
		return value
	}
	const base = "base"
	before := len(s.doc.errs)
	for _, e := range s.doc.entries(key, node) {
		if e.key.Value == base {
			value, _ = lookUp(s.doc, e.path, target(e.value), known)
		}
	}
	s.doc.readStruct(key, node, reflect.ValueOf(&value).Elem(), base)
	if len(s.doc.errs) == before {
		value.checkAll(s.doc.part(key))
	}
	return value
}

// lookUp is the catalogue's entry that a node names.
func lookUp[T any](d *document, key string, node *yaml.Node, known map[string]T) (T, bool) {
	value, ok := known[node.Value]
	switch {
	case node.Kind != yaml.ScalarNode:
		d.fail(node, "%s is %s, want a name of the catalogue or a mapping", key, describe(node))
		return value, false
	case !ok:
		d.fail(node, "%v", refuseUnknown(key, shorten(node.Value), sorted(known)))
	}
	return value, ok
}

// mappingKeys are the keys of a mapping; none of other nodes.
func mappingKeys(n *yaml.Node) []string {
	var keys []string
	if n != nil && n.Kind == yaml.MappingNode {
		for i := 0; i < len(n.Content); i += 2 {
			keys = append(keys, n.Content[i].Value)
		}
	}
	return keys
}

// foreignOptions refuses what a custom experiment says in its file.
func foreignOptions(start event.StartExperiment) error {
	o := start.Options
	for _, f := range []struct {
		what, got string
		set       bool
	}{
		{"approach", start.Approach, start.Approach != ""},
		{"model", start.Model, start.Model != ""},
		{"trace", start.Trace, start.Trace != ""},
		{"nodes", strconv.Itoa(start.Nodes), start.Nodes != 0},
		{"level", strconv.Itoa(start.Level), start.Level != 0},
		{"arrivals kind", o.Arrivals, o.Arrivals != ""},
		{"batching", o.Batching, o.Batching != ""},
		{"pool depth", strconv.Itoa(o.PoolDepth), o.PoolDepth != 0},
		{"rate window", fmt.Sprint(o.RateWindowS), o.RateWindowS != 0},
		{"min GPUs without migration planner", "true", o.MinGPUsWithoutMigrationPlanner},
		{"availability file", o.AvailabilityFile, o.AvailabilityFile != ""},
		{"arrivals file", o.ArrivalsFile, o.ArrivalsFile != ""},
		{"profile file", o.ProfileFile, o.ProfileFile != ""},
	} {
		if f.set {
			return &RefusedError{What: f.what, Got: f.got, Reason: "is no setting of a start of experiment custom: its file says it"}
		}
	}
	return nil
}

// override puts the options of a start over what the file says.
func (s *settler) override(o event.StartOptions) {
	f := &s.file
	f.Seed = cmp.Or(o.Seed, s.seeds()[0])
	f.TimeScale = cmp.Or(o.TimeScale, f.TimeScale)
	f.Quirks = cmp.Or(experiment.Quirks(o.Quirks), f.Quirks)
	f.Name = cmp.Or(o.Name, f.Name)
	f.Drain = f.Drain || o.Drain
}
