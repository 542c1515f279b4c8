package catalog

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/spotserve/spotserve/core/arrival"
	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
)

// Config returns the resolved experiment as an experiment file: every setting
// with its unit in the key, the fleet's changes in full, and where each part
// comes from. ReadCustom reads it, and its run differs from the experiment's in
// kind and name alone. It fails as Resolve does.
func Config(start event.StartExperiment) ([]byte, error) {
	r, err := resolve(builtin(), start)
	if err != nil {
		return nil, err
	}
	var root yaml.Node
	if err := root.Encode(r.config()); err != nil {
		return nil, err
	}
	comment(&root)
	root.HeadComment = configHead + "\n" + describeStart(start)
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(&root); err != nil {
		return nil, err
	}
	return out.Bytes(), encoder.Close()
}

const configHead = `An experiment file: change it, then spotserve run FILE. docs/experiments.md
has every key. First things to try: approach, grace_s, arrivals.rate_rps.`

// hints are the comments of the printed file, by the path of the key.
var hints = map[string]string{
	"approach":                "spotserve, rerouting or reparallelization",
	"seed":                    "or seeds: 9, for 1 to 9",
	"time_scale":              "experiment seconds a second, where services run it",
	"grace_s":                 "notice before a change of the fleet; 0: none",
	"objective":               "latency, slo (with slo_p99_s) or cost",
	"required_throughput_rps": "left out: mean arrival rate x headroom",
	"rate_window_s":           "above 0: require what arrived in such a window x headroom",
	"batching":                "pooled, idle-only or continuous",
	"migration_buffer_gib":    "a GPU",
	"arrivals":                "or kind: file, with a CSV of requests",
	"arrivals.rate_rps":       "mean; may be swept: sweep: {rate: [0.3, 0.5]}",
	"arrivals.prompt_tokens":  "or {distribution: lognormal, mean: 512, sigma: 1, max: 4096}",
	"trace":                   "or name: As, file, fixed or generate instead of changes",
	"model":                   "or a name of the catalogue, as llama-2-7b",
	"instance":                "or a name of the catalogue, as g5.12xlarge",
	"profile":                 "left out: measured if the catalogue has it, else estimated",
}

// comment puts the hints behind their keys.
func comment(root *yaml.Node) {
	var visit func(path string, n *yaml.Node)
	visit = func(path string, n *yaml.Node) {
		for i := 0; n.Kind == yaml.MappingNode && i < len(n.Content); i += 2 {
			key, value := n.Content[i], n.Content[i+1]
			at := join(path, key.Value)
			switch hint := hints[at]; {
			case hint == "":
			case value.Kind == yaml.MappingNode:
				key.LineComment = hint
			default:
				value.LineComment = hint
			}
			visit(at, value)
		}
	}
	visit("", root)
}

// describeStart says in a comment which experiment the file was printed from.
func describeStart(start event.StartExperiment) string {
	words := []string{"Printed from", string(start.Experiment)}
	for _, word := range []string{start.Approach, start.Model, start.Trace} {
		if word != "" {
			words = append(words, word)
		}
	}
	switch start.Experiment {
	case experiment.OnDemand:
		words = append(words, fmt.Sprintf("with %d nodes", start.Nodes))
	case experiment.Ablation:
		words = append(words, fmt.Sprintf("at level %d", start.Level))
	default:
	}
	return strings.Join(words, " ") + "."
}

// config is the experiment as an experiment file.
func (r *resolved) config() customFile {
	f := r.file
	f.Name = r.configName()
	f.Seeds = nil
	f.Arrivals.Source = r.arrivals.source
	f.Arrivals.PromptTokens = tokenSource{r.arrivals.prompts.drawn}
	f.Arrivals.OutputTokens = tokenSource{r.arrivals.outputs.drawn}
	if kind := arrival.Kind(f.Arrivals.Kind); kind != arrival.Artifact && kind != arrival.Gamma {
		f.Arrivals.CV = 0
	}
	if f.Provision.Mode == experiment.Replay {
		f.Provision = provisionFile{}
	}
	f.Trace = r.trace.config()
	f.Model.value, f.Instance.value, f.Engine.value, f.Profile.value = &r.model, &r.instance, &r.engine, &r.profile
	f.Measured = "" // its parts are printed
	if f.Compute = r.file.Compute; r.transforms() {
		f.Transformer.value = &r.transformer
	} else {
		f.Compute = ""
	}
	return f
}

var notInNames = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// configName is the run's name, else one that says what the experiment is.
func (r *resolved) configName() string {
	name := r.file.Name
	if name == "" {
		name = fmt.Sprintf("%s-%s-%s-%s", r.kind, r.file.Approach, r.model.Name, r.trace.label)
		if r.kind == experiment.Ablation {
			name += fmt.Sprintf("-level-%d", r.file.Level)
		}
	}
	name = notInNames.ReplaceAllString(name, "-")
	return name[:min(len(name), 100)]
}

func (t tracePart) config() traceSource {
	out := traceSource{Label: t.label, Source: t.source, EndS: t.fleet.End.Seconds()}
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
