package wire

import (
	"fmt"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	pb "github.com/spotserve/spotserve/proto/spotserve/v1"
)

const startExample = `for example {"e2e":{"approach":"spotserve","model":"20B","trace":"As"}}`

// DecodeStart reads a start message as people type it or programs write it:
// JSON with snake-case or lower camel keys if its first byte after white space
// is "{", else protobuf. Exactly one kind of experiment must be there with all
// its fields; what this build does not know is refused, because leaving it out
// would run something else. Names are not looked up here. The errors are meant
// for the one who typed the message: they say what is allowed.
func DecodeStart(data []byte) (event.StartExperiment, error) {
	m := new(pb.StartExperiment)
	if err := readRequest(data, m); err != nil {
		return event.StartExperiment{}, fmt.Errorf("start: %w; %s", err, startExample)
	}
	c := new(check)
	s := startIn(c, m)
	if c.err != nil {
		return event.StartExperiment{}, fmt.Errorf("start: %w; %s", c.err, startExample)
	}
	return s, nil
}

// startOut leaves out what does not belong to the kind of experiment.
func startOut(c *check, s event.StartExperiment) *pb.StartExperiment {
	m := &pb.StartExperiment{Options: inside(c, "options", s.Options, startOptionsOut)}
	c.enter(string(s.Experiment), -1)
	defer c.leave()
	switch s.Experiment {
	case experiment.EndToEnd:
		m.Kind = &pb.StartExperiment_E2E{E2E: &pb.EndToEndStart{
			Approach: c.text("approach", s.Approach),
			Model:    c.text("model", s.Model),
			Trace:    c.text("trace", s.Trace),
		}}
	case experiment.OnDemand:
		m.Kind = &pb.StartExperiment_Ondemand{Ondemand: &pb.OnDemandStart{
			Nodes: c.countFrom("nodes", 1, s.Nodes),
		}}
	case experiment.Workload:
		m.Kind = &pb.StartExperiment_Workload{Workload: &pb.WorkloadStart{
			Approach: c.text("approach", s.Approach),
			Trace:    c.text("trace", s.Trace),
		}}
	case experiment.Ablation:
		level := c.count("level", s.Level)
		m.Kind = &pb.StartExperiment_Ablation{Ablation: &pb.AblationStart{
			Level: &level,
			Trace: c.text("trace", s.Trace),
		}}
	case experiment.Custom:
		m.Kind = &pb.StartExperiment_Custom{Custom: &pb.CustomStart{
			Yaml: c.text("yaml", s.YAML),
		}}
	default:
		c.fail("experiment", "is %q: allowed are %s", s.Experiment, experimentKinds.allowed())
	}
	return m
}

func startIn(c *check, m *pb.StartExperiment) event.StartExperiment {
	var s event.StartExperiment
	switch k := m.Kind.(type) {
	case *pb.StartExperiment_E2E:
		s = inside(c, "e2e", k.E2E, endToEndIn)
	case *pb.StartExperiment_Ondemand:
		s = inside(c, "ondemand", k.Ondemand, onDemandIn)
	case *pb.StartExperiment_Workload:
		s = inside(c, "workload", k.Workload, workloadIn)
	case *pb.StartExperiment_Ablation:
		s = inside(c, "ablation", k.Ablation, ablationIn)
	case *pb.StartExperiment_Custom:
		s = inside(c, "custom", k.Custom, customIn)
	default:
		c.fail("the experiment", "is missing: give exactly one of %s", experimentKinds.allowed())
	}
	if m.Options != nil {
		s.Options = inside(c, "options", m.Options, startOptionsIn)
	}
	return s
}

func endToEndIn(c *check, m *pb.EndToEndStart) event.StartExperiment {
	return event.StartExperiment{
		Experiment: experiment.EndToEnd,
		Approach:   c.text("approach", m.Approach),
		Model:      c.text("model", m.Model),
		Trace:      c.text("trace", m.Trace),
	}
}

func onDemandIn(c *check, m *pb.OnDemandStart) event.StartExperiment {
	return event.StartExperiment{
		Experiment: experiment.OnDemand,
		Nodes:      c.intFrom("nodes", 1, m.Nodes),
	}
}

func workloadIn(c *check, m *pb.WorkloadStart) event.StartExperiment {
	return event.StartExperiment{
		Experiment: experiment.Workload,
		Approach:   c.text("approach", m.Approach),
		Trace:      c.text("trace", m.Trace),
	}
}

func ablationIn(c *check, m *pb.AblationStart) event.StartExperiment {
	if m.Level == nil {
		c.fail("level", "is missing")
	}
	return event.StartExperiment{
		Experiment: experiment.Ablation,
		Level:      c.int("level", m.GetLevel()),
		Trace:      c.text("trace", m.Trace),
	}
}

func customIn(c *check, m *pb.CustomStart) event.StartExperiment {
	return event.StartExperiment{
		Experiment: experiment.Custom,
		YAML:       c.text("yaml", m.Yaml),
	}
}

func startOptionsOut(c *check, o event.StartOptions) *pb.StartOptions {
	return &pb.StartOptions{
		Seed:             o.Seed,
		TimeScale:        c.notNegative("time_scale", o.TimeScale),
		Arrivals:         o.Arrivals,
		Quirks:           o.Quirks,
		Name:             o.Name,
		Drain:            o.Drain,
		AvailabilityFile: o.AvailabilityFile,
		ArrivalsFile:     o.ArrivalsFile,
		ProfileFile:      o.ProfileFile,
		Batching:         o.Batching,
		PoolDepth:        c.count("pool_depth", o.PoolDepth),
		RateWindowS:      c.notNegative("rate_window_s", o.RateWindowS),

		MinGpusWithoutMigrationPlanner: o.MinGPUsWithoutMigrationPlanner,
	}
}

func startOptionsIn(c *check, m *pb.StartOptions) event.StartOptions {
	return event.StartOptions{
		Seed:             m.Seed,
		TimeScale:        c.notNegative("time_scale", m.TimeScale),
		Arrivals:         m.Arrivals,
		Quirks:           m.Quirks,
		Name:             m.Name,
		Drain:            m.Drain,
		AvailabilityFile: m.AvailabilityFile,
		ArrivalsFile:     m.ArrivalsFile,
		ProfileFile:      m.ProfileFile,
		Batching:         m.Batching,
		PoolDepth:        c.int("pool_depth", m.PoolDepth),
		RateWindowS:      c.notNegative("rate_window_s", m.RateWindowS),

		MinGPUsWithoutMigrationPlanner: m.MinGpusWithoutMigrationPlanner,
	}
}
