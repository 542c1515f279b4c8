package catalog

import (
	"slices"

	"github.com/spotserve/spotserve/core/arrival"
	"github.com/spotserve/spotserve/core/experiment"
)

// experimentFile is data/experiments/KIND.yaml.
type experimentFile struct {
	Name                 string                `yaml:"name"`
	Source               string                `yaml:"source"`
	Description          string                `yaml:"description"`
	Approaches           []experiment.Approach `yaml:"approaches"`
	Traces               []string              `yaml:"traces"`
	TraceNames           []string              `yaml:"trace_names,omitempty"` // of traces, where a start calls them otherwise
	Levels               []string              `yaml:"levels,omitempty"`      // of an ablation: what each takes away
	Models               []workloadFile        `yaml:"models"`
	Instance             string                `yaml:"instance"`
	Engine               string                `yaml:"engine"`
	Arrivals             arrival.Kind          `yaml:"arrivals"`
	ArrivalCV            float64               `yaml:"arrival_cv"`
	GraceS               float64               `yaml:"grace_s"`
	BatchLimit           int                   `yaml:"batch_limit"`
	Batching             experiment.Batching   `yaml:"batching"`
	PoolDepth            int                   `yaml:"pool_depth"`
	PromptTokens         int                   `yaml:"prompt_tokens"`
	OutputTokens         int                   `yaml:"output_tokens"`
	CommitIntervalTokens int                   `yaml:"commit_interval_tokens"`
	MigrationBufferGiB   float64               `yaml:"migration_buffer_gib"` // a GPU
}

// workloadFile says how much an experiment asks of a model.
type workloadFile struct {
	Model                 string  `yaml:"model"`
	ArrivalRateRPS        float64 `yaml:"arrival_rate_rps,omitempty"`
	ArrivalRates          string  `yaml:"arrival_rates,omitempty"` // instead of one rate
	RequiredThroughputRPS float64 `yaml:"required_throughput_rps"`
	// Headroom is required throughput over arrival rate, for a rate that is
	// estimated; 0: that of the two settings.
	Headroom float64 `yaml:"headroom,omitempty"`
}

// headroom is required throughput over arrival rate.
func (w workloadFile) headroom() float64 {
	if w.Headroom > 0 {
		return w.Headroom
	}
	return w.RequiredThroughputRPS / w.ArrivalRateRPS
}

func (w workloadFile) check(c *checker) {
	c.text("model", w.Model)
	c.positive(w.Model+": required_throughput_rps", w.RequiredThroughputRPS, maxThroughput)
	c.notNegative(w.Model+": headroom", w.Headroom, maxHeadroom)
	if w.ArrivalRates == "" {
		c.positive(w.Model+": arrival_rate_rps", w.ArrivalRateRPS, maxThroughput)
		return
	}
	c.require(w.ArrivalRateRPS == 0, "%s: arrival_rate_rps and arrival_rates are both given", w.Model)
	c.require(w.Headroom > 0, "%s: headroom is missing: rates that change need one", w.Model)
}

const (
	maxGraceS    = 3600
	maxBatch     = 1024
	maxPoolDepth = 1024
	maxCV        = 1000
	maxHeadroom  = 1000
	maxBufferGiB = 1 << 20
)

func (e experimentFile) check(file string) error {
	c := checker{file: file}
	c.text("name", e.Name)
	c.text("source", e.Source)
	c.require(len(e.Approaches) > 0, "approaches is empty")
	c.require(len(e.Traces) > 0, "traces is empty")
	c.require(len(e.TraceNames) == 0 || len(e.TraceNames) == len(e.Traces), "trace_names has %d names for %d traces", len(e.TraceNames), len(e.Traces))
	c.require(len(e.Models) > 0, "models is empty")
	for _, w := range e.Models {
		w.check(&c)
	}
	c.text("instance", e.Instance)
	c.text("engine", e.Engine)
	c.require(slices.Contains(arrival.Kinds(), e.Arrivals), "arrivals is %q, allowed are %q", e.Arrivals, arrival.Kinds())
	c.positive("arrival_cv", e.ArrivalCV, maxCV)
	c.notNegative("grace_s", e.GraceS, maxGraceS)
	c.count("batch_limit", e.BatchLimit, maxBatch)
	c.require(slices.Contains(Batchings(), string(e.Batching)), "batching is %q, allowed are %q", e.Batching, Batchings())
	c.count("pool_depth", e.PoolDepth, maxPoolDepth)
	c.count("prompt_tokens", e.PromptTokens, maxTokens)
	c.count("output_tokens", e.OutputTokens, maxTokens)
	c.count("commit_interval_tokens", e.CommitIntervalTokens, maxTokens)
	c.positive("migration_buffer_gib", e.MigrationBufferGiB, maxBufferGiB)
	return c.err()
}

// traceNames are what starts call the traces of e, in its order.
func (e experimentFile) traceNames() []string {
	if len(e.TraceNames) > 0 {
		return e.TraceNames
	}
	return e.Traces
}

// models are the names of the models that e runs, in its order.
func (e experimentFile) models() []string {
	var names []string
	for _, w := range e.Models {
		names = append(names, w.Model)
	}
	return names
}

// workload returns what e asks of a model that it runs.
func (e experimentFile) workload(model string) workloadFile {
	return e.Models[slices.Index(e.models(), model)]
}
