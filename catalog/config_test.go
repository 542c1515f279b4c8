package catalog

import (
	"reflect"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/vtime"
)

func TestConfigSaysWhatResolveDoes(t *testing.T) {
	for _, start := range []event.StartExperiment{
		e2e("20B", "As+o", event.StartOptions{}), e2e("6.7B", "Bs", event.StartOptions{Arrivals: "even"}), onDemand(3),
		workload("rerouting", "B"), ablation(3, "A", event.StartOptions{MinGPUsWithoutMigrationPlanner: true, Batching: "idle-only", PoolDepth: 2, RateWindowS: 30}),
	} {
		text, err := Config(start)
		if err != nil {
			t.Fatal(err)
		}
		var config configFile
		if err := decodeYAML("config", text, &config); err != nil {
			t.Fatalf("the printed configuration does not read back: %v\n%s", err, text)
		}
		spec, timeline := mustResolve(t, start)
		if config.Model.model() != spec.Model || config.Engine.costs() != spec.Engine || config.Engine.delays() != spec.Delays ||
			config.Instance.instanceType() != spec.Instance || !reflect.DeepEqual(config.Profile.profile(), spec.Profile) {
			t.Errorf("model, engine, instance or profile differ from the spec:\n%s", text)
		}
		if config.Experiment != spec.Kind || config.Trace.Name != spec.Trace || config.Arrivals.Requests != len(timeline.Arrivals) ||
			config.Seed != spec.Seed || config.RequiredThroughput != spec.RequiredThroughput || vtime.Seconds(config.Trace.EndS) != spec.End {
			t.Errorf("names or numbers differ from the spec:\n%s", text)
		}
		if config.Level != spec.Level || config.Batching != spec.Batching || config.PoolDepth != spec.PoolDepth || config.Headroom != spec.Headroom ||
			vtime.Duration(config.RateWindowS) != spec.RateWindow || gibibytes(config.MigrationBufferGiB) != spec.MigrationBuffer ||
			config.LargestFleetGPUs != spec.LargestFleet || config.Arrivals.RateRPS != spec.ArrivalRate {
			t.Errorf("settings differ from the spec:\n%s", text)
		}
		var spot, onDemand int
		for i, c := range config.Trace.Changes {
			if c.RequiredThroughput != timeline.Changes[i].RequiredThroughput {
				t.Errorf("the required throughput at %v s differs from the timeline:\n%s", c.AtS, text)
			}
			spot += len(c.AddSpot)
			onDemand += len(c.AddOnDemand)
		}
		for _, c := range timeline.Changes {
			for _, i := range c.Instances {
				if c.Kind == experiment.Add && i.Market == cost.Spot {
					spot--
				} else if c.Kind == experiment.Add {
					onDemand--
				}
			}
		}
		if len(config.Trace.Changes) != len(timeline.Changes) || spot != 0 || onDemand != 0 {
			t.Errorf("the changes differ from the timeline:\n%s", text)
		}
		var parts map[string]yaml.Node
		if err := yaml.Unmarshal(text, &parts); err != nil {
			t.Fatal(err)
		}
		for _, part := range []string{"arrivals", "trace", "model", "instance", "engine", "profile"} {
			var named struct{ Source string }
			if node := parts[part]; node.Decode(&named) != nil || named.Source == "" {
				t.Errorf("%s names no source:\n%s", part, text)
			}
		}
	}
}
