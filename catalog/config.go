package catalog

import (
	"bytes"

	"go.yaml.in/yaml/v3"

	"github.com/spotserve/spotserve/core/arrival"
	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
)

// configFile is a resolved experiment as Config prints it.
type configFile struct {
	Experiment         experiment.Kind     `yaml:"experiment"`
	Source             string              `yaml:"source"`
	Name               string              `yaml:"name,omitempty"`
	Approach           experiment.Approach `yaml:"approach"`
	Level              int                 `yaml:"level,omitempty"`
	Seed               uint64              `yaml:"seed"`
	TimeScale          float64             `yaml:"time_scale"`
	Quirks             string              `yaml:"quirks"`
	Drain              bool                `yaml:"drain"`
	GraceS             float64             `yaml:"grace_s"`
	RequiredThroughput float64             `yaml:"required_throughput_rps"`
	RateWindowS        float64             `yaml:"rate_window_s"`
	Headroom           float64             `yaml:"headroom"`
	BatchLimit         int                 `yaml:"batch_limit"`
	Batching           experiment.Batching `yaml:"batching"`
	PoolDepth          int                 `yaml:"pool_depth"`
	CommitInterval     int                 `yaml:"commit_interval_tokens"`
	MigrationBufferGiB float64             `yaml:"migration_buffer_gib"`
	LargestFleetGPUs   int                 `yaml:"largest_fleet_gpus"`
	Arrivals           configArrivals      `yaml:"arrivals"`
	Trace              configTrace         `yaml:"trace"`
	Model              modelFile           `yaml:"model"`
	Instance           instanceFile        `yaml:"instance"`
	Engine             engineFile          `yaml:"engine"`
	Profile            profileFile         `yaml:"profile"`
}

type configArrivals struct {
	Kind         string    `yaml:"kind"`
	Source       string    `yaml:"source"`
	RateRPS      float64   `yaml:"rate_rps,omitempty"`       // mean
	RatesRPS     []float64 `yaml:"rates_rps,flow,omitempty"` // one a minute
	CV           float64   `yaml:"cv,omitempty"`
	Requests     int       `yaml:"requests"`
	PromptTokens int       `yaml:"prompt_tokens,omitempty"`
	OutputTokens int       `yaml:"output_tokens"`
}

type configTrace struct {
	Name    string         `yaml:"name"`
	Source  string         `yaml:"source"`
	Market  traceMarket    `yaml:"market"`
	Parent  string         `yaml:"parent,omitempty"`
	EndS    float64        `yaml:"end_s"`
	Changes []configChange `yaml:"changes"`
}

type configChange struct {
	AtS                float64  `yaml:"at_s"`
	AddSpot            []string `yaml:"add_spot,flow,omitempty"`
	AddOnDemand        []string `yaml:"add_on_demand,flow,omitempty"`
	Remove             []string `yaml:"remove,flow,omitempty"`
	RequiredThroughput float64  `yaml:"required_throughput_rps,omitempty"`
}

// Config returns the resolved experiment as YAML: every setting with its unit
// in the key, the fleet's changes in full, and where each part comes from. It
// fails as Resolve does.
func Config(start event.StartExperiment) ([]byte, error) {
	r, err := resolve(builtin(), start)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(r.config()); err != nil {
		return nil, err
	}
	return out.Bytes(), encoder.Close()
}

func (r *resolved) config() configFile {
	return configFile{
		Experiment:         r.kind,
		Source:             r.settings.Source,
		Name:               r.options.Name,
		Approach:           r.approach,
		Level:              r.level,
		Seed:               r.options.Seed,
		TimeScale:          r.options.TimeScale,
		Quirks:             r.options.Quirks,
		Drain:              r.options.Drain,
		GraceS:             r.settings.GraceS,
		RequiredThroughput: r.workload.RequiredThroughputRPS,
		RateWindowS:        r.options.RateWindowS,
		Headroom:           r.workload.headroom(),
		BatchLimit:         r.settings.BatchLimit,
		Batching:           experiment.Batching(r.options.Batching),
		PoolDepth:          r.options.PoolDepth,
		CommitInterval:     r.settings.CommitIntervalTokens,
		MigrationBufferGiB: r.settings.MigrationBufferGiB,
		LargestFleetGPUs:   r.trace.fleet.largest() * r.instance.GPUs,
		Arrivals:           r.configArrivals(),
		Trace:              r.trace.config(),
		Model:              r.model,
		Instance:           r.instance,
		Engine:             r.engine,
		Profile:            r.profile,
	}
}

func (r *resolved) configArrivals() configArrivals {
	a := configArrivals{
		Kind:         r.options.Arrivals,
		Source:       r.arrivals.source,
		Requests:     len(r.arrivals.list),
		OutputTokens: r.settings.OutputTokens,
	}
	if a.Kind != arrivalsFromFile {
		a.RateRPS, a.RatesRPS, a.PromptTokens = r.arrivals.rate, r.arrivals.rates, r.settings.PromptTokens
	}
	if kind := arrival.Kind(a.Kind); kind == arrival.Artifact || kind == arrival.Gamma {
		a.CV = r.settings.ArrivalCV
	}
	return a
}

func (t tracePart) config() configTrace {
	out := configTrace{Name: t.fleet.Name, Source: t.source, Market: t.rule, Parent: t.parent, EndS: t.fleet.End.Seconds()}
	for _, c := range t.changes {
		change := configChange{AtS: c.At.Seconds(), RequiredThroughput: c.RequiredThroughput}
		for _, instance := range c.Instances {
			switch {
			case c.Kind == experiment.Remove:
				change.Remove = append(change.Remove, instance.Node)
			case instance.Market == cost.Spot:
				change.AddSpot = append(change.AddSpot, instance.Node)
			default:
				change.AddOnDemand = append(change.AddOnDemand, instance.Node)
			}
		}
		out.Changes = append(out.Changes, change)
	}
	return out
}
