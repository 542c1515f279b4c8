package catalog

import (
	"maps"
	"slices"

	"github.com/spotserve/spotserve/core/cost"
)

// GPUs returns the names of the GPU types.
func GPUs() []string { return sorted(builtin().gpus) }

// Profile returns a measured latency profile by its name, GPU-MODEL, and the
// name of the model that was measured.
func Profile(name string) (profile cost.Profile, model string, err error) {
	file, ok := builtin().profiles[name]
	if !ok {
		return cost.Profile{}, "", refuseUnknown("profile", name, Profiles())
	}
	return file.profile(), file.Model, nil
}

// Instance returns an instance type by its name.
func Instance(name string) (cost.InstanceType, error) {
	file, ok := builtin().instances[name]
	if !ok {
		return cost.InstanceType{}, refuseUnknown("instance", name, Instances())
	}
	return file.instanceType(), nil
}

// GPU returns a GPU type by its name.
func GPU(name string) (cost.GPU, error) {
	file, ok := builtin().gpus[name]
	if !ok {
		return cost.GPU{}, refuseUnknown("GPU", name, GPUs())
	}
	return file.gpu(), nil
}

// Roofline returns what an estimated profile of a model on an instance type
// follows from, with the default efficiencies.
func Roofline(model, instance string) (cost.Roofline, error) {
	lib := builtin()
	m, ok := lib.models[model]
	if !ok {
		return cost.Roofline{}, refuseUnknown("model", model, slices.Sorted(maps.Keys(lib.models)))
	}
	i, ok := lib.instances[instance]
	if !ok {
		return cost.Roofline{}, refuseUnknown("instance", instance, Instances())
	}
	return roofline(m, lib.gpus[i.GPU], i), nil
}

// roofline is what an estimated profile of m follows from.
func roofline(m modelFile, gpu gpuFile, instance instanceFile) cost.Roofline {
	return cost.Roofline{
		GPU:          gpu.gpu(),
		Architecture: m.architecture(),
		Links:        instance.links(),
		Efficiencies: cost.DefaultEfficiencies(),
	}
}
