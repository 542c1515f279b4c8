package catalog

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/spotserve/spotserve/core/arrival"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/topology"
)

//go:embed data
var embedded embed.FS

// library is a folder of catalogue files, each kind by name.
type library struct {
	models      map[string]modelFile
	profiles    map[string]profileFile
	gpus        map[string]gpuFile
	instances   map[string]instanceFile
	engines     map[string]engineFile
	traces      map[string]traceFile
	rates       map[string]ratesFile
	experiments map[string]experimentFile
	published   map[string]publicationFile
}

// builtin is the embedded library. It is part of the binary, so it cannot be
// broken by a user; a test reads all of it.
var builtin = sync.OnceValue(func() *library {
	lib, err := load(embedded)
	if err != nil {
		panic(fmt.Sprintf("catalog: the embedded files are broken: %v", err))
	}
	return lib
})

// load reads and checks all files below data/ and the references between them.
func load(fsys fs.FS) (*library, error) {
	lib := &library{}
	err := errors.Join(
		loadFolder(fsys, "data/models", &lib.models),
		loadFolder(fsys, "data/profiles", &lib.profiles),
		loadFolder(fsys, "data/gpus", &lib.gpus),
		loadFolder(fsys, "data/instances", &lib.instances),
		loadFolder(fsys, "data/engines", &lib.engines),
		loadFolder(fsys, "data/traces", &lib.traces),
		loadFolder(fsys, "data/rates", &lib.rates),
		loadFolder(fsys, "data/experiments", &lib.experiments),
		loadFolder(fsys, "data/published", &lib.published),
	)
	if err != nil {
		return nil, err
	}
	if err := lib.checkReferences(); err != nil {
		return nil, err
	}
	return lib, nil
}

func loadFolder[T interface{ check(file string) error }](fsys fs.FS, folder string, into *map[string]T) error {
	entries, err := fs.ReadDir(fsys, folder)
	if err != nil {
		return err
	}
	*into = make(map[string]T, len(entries))
	var errs []error
	for _, entry := range entries {
		file := path.Join(folder, entry.Name())
		data, err := fs.ReadFile(fsys, file)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		value, err := parse[T](file, data)
		errs = append(errs, err)
		(*into)[strings.TrimSuffix(entry.Name(), ".yaml")] = value
	}
	return errors.Join(errs...)
}

// parse reads one catalogue file.
func parse[T interface{ check(file string) error }](file string, data []byte) (T, error) {
	var value T
	if err := decodeYAML(file, data, &value); err != nil {
		return value, err
	}
	return value, value.check(file)
}

func (lib *library) checkReferences() error {
	c := checker{}
	for _, name := range slices.Sorted(maps.Keys(lib.traces)) {
		c.file = "data/traces/" + name + ".yaml"
		if t := lib.traces[name]; t.Parent != "" {
			known(&c, "parent", t.Parent, lib.traces)
			c.require(lib.traces[t.Parent].Market == allSpot, "parent %q is not a spot trace", t.Parent)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(lib.instances)) {
		c.file = "data/instances/" + name + ".yaml"
		known(&c, "gpu", lib.instances[name].GPU, lib.gpus)
	}
	for _, name := range slices.Sorted(maps.Keys(lib.models)) {
		c.file = "data/models/" + name + ".yaml"
		if gpu := lib.models[name].MinGPUsOn; gpu != "" {
			known(&c, "min_gpus_on", gpu, lib.gpus)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(lib.experiments)) {
		c.file = "data/experiments/" + name + ".yaml"
		e := lib.experiments[name]
		known(&c, "instance", e.Instance, lib.instances)
		known(&c, "engine", e.Engine, lib.engines)
		for _, trace := range e.Traces {
			known(&c, "trace", trace, lib.traces)
		}
		for _, w := range e.Models {
			if w.ArrivalRates != "" {
				known(&c, "arrival_rates", w.ArrivalRates, lib.rates)
			}
		}
		for _, model := range e.models() {
			known(&c, "model", model, lib.models)
			c.require(len(e.Levels) == 0 || lib.models[model].MinGPUsWithoutMigrationPlanner > 0, "model %q has no min_gpus_without_migration_planner", model)
			profile := lib.profile(model, lib.instances[e.Instance].GPU)
			known(&c, "profile", profile, lib.profiles)
			if p, ok := lib.profiles[profile]; ok {
				c.require(p.maxBatch() >= e.BatchLimit, "batch_limit %d is above the largest batch of profile %q, %d", e.BatchLimit, profile, p.maxBatch())
			}
		}
	}
	return c.err()
}

// profile is the name of the latency profile of a model on a GPU type.
func (lib *library) profile(model, gpu string) string { return gpu + "-" + model }

// Models returns the names of the models that the experiments serve, smallest
// first.
func Models() []string { return builtin().experiments[string(experiment.EndToEnd)].models() }

// Profiles returns the names of the latency profiles, GPU-MODEL.
func Profiles() []string { return sorted(builtin().profiles) }

// Instances returns the names of the instance types.
func Instances() []string { return sorted(builtin().instances) }

// Traces returns the names of the availability traces that e2e replays.
func Traces() []string { return TracesOf(experiment.EndToEnd) }

// TracesOf returns what the starts of a kind of experiment call its traces;
// none for a kind that this build does not run.
func TracesOf(kind experiment.Kind) []string {
	return slices.Clone(builtin().experiments[string(kind)].traceNames())
}

// Fleets returns the sizes of the fixed on-demand fleets, in nodes, ascending.
func Fleets() []int { return slices.Sorted(maps.Keys(builtin().fleets())) }

// Levels returns what each ablation level, from 0, takes away beside what the
// level before it took.
func Levels() []string {
	return slices.Clone(builtin().experiments[string(experiment.Ablation)].Levels)
}

// Approaches returns the approaches that this build runs.
func Approaches() []string {
	return asStrings(builtin().experiments[string(experiment.EndToEnd)].Approaches)
}

// Experiments returns the kinds of experiments that this build runs.
func Experiments() []string { return sorted(builtin().experiments) }

// ArrivalKinds returns the kinds of arrivals: those that are generated, and
// "file".
func ArrivalKinds() []string { return append(asStrings(arrival.Kinds()), arrivalsFromFile) }

// Batchings returns the batching policies.
func Batchings() []string {
	return asStrings([]experiment.Batching{experiment.Pooled, experiment.IdleOnly, experiment.Continuous})
}

// QuirkSettings returns the settings of quirks, the default first.
func QuirkSettings() []string {
	return asStrings([]experiment.Quirks{experiment.QuirksNone, experiment.QuirksArtifact})
}

// fleets returns the traces of the on-demand experiment by their size in nodes.
func (lib *library) fleets() map[int]string {
	sizes := make(map[int]string)
	for _, name := range lib.experiments[string(experiment.OnDemand)].Traces {
		if a, err := lib.traces[name].availability(); err == nil { // load has checked it
			sizes[len(a.Nodes())] = name
		}
	}
	return sizes
}

// sorted returns the names of a set as people count them.
func sorted[T any](set map[string]T) []string {
	return slices.SortedFunc(maps.Keys(set), topology.CompareNodes)
}

// asStrings drops the type of named strings.
func asStrings[T ~string](values []T) []string {
	var out []string
	for _, v := range values {
		out = append(out, string(v))
	}
	return out
}
