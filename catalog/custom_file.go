package catalog

import (
	"math"
	"reflect"

	"go.yaml.in/yaml/v3"

	"github.com/spotserve/spotserve/core/arrival"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
)

// customFile is an experiment file: the one that users write, and the one that
// Config prints. Keys that it leaves out have the values of newCustomFile.
type customFile struct {
	Name                  string               `yaml:"name"`
	Description           string               `yaml:"description,omitempty"`
	Source                string               `yaml:"source,omitempty"`
	Approach              experiment.Approach  `yaml:"approach"`
	Level                 int                  `yaml:"level"`
	Seed                  uint64               `yaml:"seed"`
	Seeds                 seedList             `yaml:"seeds,omitempty"`
	TimeScale             float64              `yaml:"time_scale"`
	Quirks                experiment.Quirks    `yaml:"quirks"`
	Drain                 bool                 `yaml:"drain"`
	GraceS                float64              `yaml:"grace_s"`
	Objective             experiment.Objective `yaml:"objective"`
	SLOP99S               float64              `yaml:"slo_p99_s,omitempty"`
	RequiredThroughputRPS float64              `yaml:"required_throughput_rps"`
	Headroom              float64              `yaml:"headroom"`
	RateWindowS           float64              `yaml:"rate_window_s"`
	Batching              experiment.Batching  `yaml:"batching"`
	BatchLimit            int                  `yaml:"batch_limit"`
	PoolDepth             int                  `yaml:"pool_depth"`
	CommitIntervalTokens  int                  `yaml:"commit_interval_tokens"`
	MigrationBufferGiB    float64              `yaml:"migration_buffer_gib"` // a GPU
	Provision             provisionFile        `yaml:"provision,omitempty"`
	Limits                limitsFile           `yaml:"limits"`
	Trace                 traceSource          `yaml:"trace"`
	Arrivals              arrivalSource        `yaml:"arrivals"`
	Model                 named[modelFile]     `yaml:"model"`
	Instance              named[instanceFile]  `yaml:"instance"`
	Engine                named[engineFile]    `yaml:"engine"`
	Profile               profileSource        `yaml:"profile,omitempty"`
	Compute               string               `yaml:"compute,omitempty"`
	Transformer           transformerSource    `yaml:"transformer,omitempty"`
	Measured              string               `yaml:"measured,omitempty"`
	Sweep                 sweepLists           `yaml:"sweep,omitempty"`
	SweepPoint            sweepPoint           `yaml:"sweep_point,omitempty"`
}

// provisionFile says who decides on the fleet.
type provisionFile struct {
	Mode           experiment.Provision `yaml:"mode"`
	MaxInstances   int                  `yaml:"max_instances,omitempty"`
	CandidatePool  int                  `yaml:"candidate_pool,omitempty"`
	OnDemand       bool                 `yaml:"on_demand,omitempty"`
	SpotStartS     float64              `yaml:"spot_start_s,omitempty"`
	OnDemandStartS float64              `yaml:"on_demand_start_s,omitempty"`
}

// limitsFile bounds what users may ask of a run that computes tokens.
type limitsFile struct {
	PromptBytes  int     `yaml:"prompt_bytes"`
	PromptTokens int     `yaml:"prompt_tokens"`
	Waiting      int     `yaml:"waiting"`
	RequestsRPS  float64 `yaml:"requests_rps"`
	Burst        int     `yaml:"burst"`
}

// Bounds of the limits.
const (
	minRequestsRPS = 0.001
	maxRequestsRPS = 1e6
	maxBurst       = 1_000_000
)

func newLimitsFile() limitsFile {
	l := experiment.DefaultLimits()
	return limitsFile{l.PromptBytes, l.PromptTokens, l.Waiting, l.RequestsPerSecond, l.Burst}
}

func (l limitsFile) limits() experiment.Limits {
	return experiment.Limits{
		PromptBytes: l.PromptBytes, PromptTokens: l.PromptTokens, Waiting: l.Waiting, RequestsPerSecond: l.RequestsRPS, Burst: l.Burst,
	}
}

// check holds the limits against what one message can carry.
func (l limitsFile) check(c *checker) {
	c.count("prompt_bytes", l.PromptBytes, event.MaxPromptBytes)
	c.count("prompt_tokens", l.PromptTokens, event.MaxPromptTokens)
	c.count("waiting", l.Waiting, math.MaxInt32)
	c.count("burst", l.Burst, maxBurst)
	c.holds("requests_rps", l.RequestsRPS >= minRequestsRPS && l.RequestsRPS <= maxRequestsRPS,
		"is %v, allowed is %v to %v", l.RequestsRPS, minRequestsRPS, maxRequestsRPS)
}

// traceSource says where the availability of instances comes from: exactly one
// of Name, File, Fixed, Generate and Changes.
type traceSource struct {
	Label    string         `yaml:"label,omitempty"` // what results and figures call it
	Source   string         `yaml:"source,omitempty"`
	Name     string         `yaml:"name,omitempty"`
	File     string         `yaml:"file,omitempty"`
	Fixed    *fixedFleet    `yaml:"fixed,omitempty"`
	Generate *generatorFile `yaml:"generate,omitempty"`
	Market   traceMarket    `yaml:"market,omitempty"` // of File
	EndS     float64        `yaml:"end_s,omitempty"`  // of Name, File and Changes
	Changes  []configChange `yaml:"changes,omitempty"`
}

// fixedFleet is a fleet that stays.
type fixedFleet struct {
	Instances int         `yaml:"instances"`
	Market    traceMarket `yaml:"market"`
	EndS      float64     `yaml:"end_s"`
}

// configChange is a change of the fleet with the market of every instance.
type configChange struct {
	AtS                float64  `yaml:"at_s"`
	AddSpot            []string `yaml:"add_spot,flow,omitempty"`
	AddOnDemand        []string `yaml:"add_on_demand,flow,omitempty"`
	Remove             []string `yaml:"remove,flow,omitempty"`
	RequiredThroughput float64  `yaml:"required_throughput_rps,omitempty"`
}

// arrivalSource says when requests arrive and how long they are.
type arrivalSource struct {
	Source       string       `yaml:"source,omitempty"`
	Kind         string       `yaml:"kind"`
	RateRPS      float64      `yaml:"rate_rps,omitempty"`       // mean
	RatesRPS     []float64    `yaml:"rates_rps,flow,omitempty"` // one a minute
	CV           float64      `yaml:"cv,omitempty"`
	File         string       `yaml:"file,omitempty"`
	Rescale      *rescaleFile `yaml:"rescale,omitempty"` // of File
	PromptTokens tokenSource  `yaml:"prompt_tokens,omitempty"`
	OutputTokens tokenSource  `yaml:"output_tokens,omitempty"`
}

// newCustomFile holds what a file need not say.
func newCustomFile() customFile {
	return customFile{
		Approach:             experiment.SpotServe,
		Seed:                 defaultSeed,
		TimeScale:            defaultTimeScale,
		Quirks:               experiment.QuirksNone,
		GraceS:               30,
		Objective:            experiment.MinLatency,
		Headroom:             1.14,
		Batching:             experiment.Pooled,
		BatchLimit:           4,
		PoolDepth:            1,
		CommitIntervalTokens: 32,
		MigrationBufferGiB:   1,
		Provision:            provisionFile{Mode: experiment.Replay, SpotStartS: 40, OnDemandStartS: 120},
		Limits:               newLimitsFile(),
		Trace:                traceSource{Market: allSpot},
		Arrivals:             arrivalSource{Kind: string(arrival.Poisson), CV: 1},
		Compute:              computeProfiled,
	}
}

// named is a part of an experiment: a name of the catalogue, or the part itself,
// which may begin from one of the catalogue by the key base.
type named[T any] struct {
	node  *yaml.Node // as the user wrote it
	value *T         // as Config prints it
}

func (n *named[T]) readNode(_ *document, _ string, node *yaml.Node) { n.node = node }

// MarshalYAML prints the part in full.
func (n named[T]) MarshalYAML() (any, error) { return n.value, nil }

// keysOf is what the keys of a mapping in n's place are those of.
func (named[T]) keysOf() []reflect.Type { return []reflect.Type{reflect.TypeFor[T]()} }

// transformerSource is the part of an experiment that says how tokens are
// computed; runs that compute none have none.
type transformerSource struct{ named[transformerFile] }

// IsZero leaves out what a file does not say.
func (t transformerSource) IsZero() bool { return t.value == nil }
