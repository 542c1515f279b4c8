package catalog

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
)

// complete puts rows, with a newline written ⏎, before those of smallFile whose
// keys they do not give.
func complete(rows string) string {
	text := strings.ReplaceAll(rows, "⏎", "\n") + "\n"
	for line := range strings.Lines(smallFile) {
		key, _, _ := strings.Cut(line, ":")
		if !strings.HasPrefix(text, key+":") && !strings.Contains(text, "\n"+key+":") {
			text += line
		}
	}
	return text
}

// refusals are rows of a file with the answer to them.
var refusals = []struct{ rows, want string }{
	{`grase_s: 10`, `FILE:1: unknown key "grase_s", did you mean "grace_s"?`},
	{`grace_s: soon`, `FILE:1: grace_s is "soon", want a number`},
	{`grace_s: -1`, `FILE:1: grace_s is -1, allowed is 0 to 3600`},
	{`grace_s: .nan`, `FILE:1: grace_s is NaN, allowed is 0 to 3600`},
	{`grace_s:`, `FILE:1: grace_s has no value`},
	{`grace_s: [1, 2]`, `FILE:1: grace_s is a list, want a number`},
	{`grace_s: 10⏎grace_s: 20`, `FILE:2: key "grace_s" is already defined in line 1`},
	{`name: my experiment`, `FILE:1: name is "my experiment", allowed are 1 to 100 letters, digits, -, _ and .`},
	{`approach: spotserv`, `FILE:1: unknown approach "spotserv": allowed are spotserve, rerouting, reparallelization; did you mean spotserve?`},
	{`approach: rerouting⏎level: 2`, `FILE:2: level is 2, but approach rerouting has no levels`},
	{`level: 5`, `FILE:1: level is 5, allowed is 0 to 4`},
	{`level: 1.5`, `FILE:1: level is 1.5, want a whole number`},
	{`seed: 0`, `FILE:1: seed is 0, allowed are whole numbers from 1`},
	{`seed: -3`, `FILE:1: seed is -3, want a whole number`},
	{`seed: 1⏎seeds: [1, 2]`, `FILE:1: seed and seeds are both given`},
	{`seeds: []`, `FILE:1: seeds is empty`},
	{`seeds: 0`, `FILE:1: seeds is 0, allowed is 1 (seed 1 alone) to 10000`},
	{`seeds: [1, 0]`, `FILE:1: seeds is 0, allowed are whole numbers from 1`},
	{`seeds: [1, x]`, `FILE:1: seeds[1] is "x", want a whole number`},
	{`time_scale: 0`, `FILE:1: time_scale is 0, allowed are positive, finite numbers of experiment seconds a second`},
	{`quirks: some`, `FILE:1: unknown quirks "some": allowed are none, artifact; did you mean none?`},
	{`drain: sure`, `FILE:1: drain is "sure", want true or false`},
	{`objective: slo`, `FILE: slo_p99_s is missing: objective slo needs a target`},
	{`objective: speed`, `FILE:1: unknown objective "speed": allowed are latency, slo, cost; did you mean slo?`},
	{`slo_p99_s: 0`, `FILE:1: slo_p99_s is 0, allowed is above 0 up to 2.6784e+06`},
	{`batching: continues`, `FILE:1: unknown batching "continues": allowed are pooled, idle-only, continuous; did you mean continuous?`},
	{`batch_limit: 0`, `FILE:1: batch_limit is 0, allowed is 1 to 1024`},
	{`batch_limit: 16`, `FILE:1: batch_limit is 16, allowed is 1 to 8, the largest batch of profile "T4-20B"`},
	{`migration_buffer_gib: 0`, `FILE:1: migration_buffer_gib is 0, allowed is above 0 up to 1.048576e+06`},
	{`headroom: 0`, `FILE:1: headroom is 0, allowed is above 0 up to 1000`},
	{`required_throughput_rps: -1`, `FILE:1: required_throughput_rps is -1, allowed is above 0 up to 1e+06`},
	{`model: 21B`, `FILE:1: unknown model "21B": allowed are 6.7B, 20B, 30B, 345M, llama-2-7b, llama-2-13b, llama-2-70b, llama-3-8b, llama-3-70b, mistral-7b, opt-13b, opt-30b, opt-66b; did you mean 20B?`},
	{`model: [1]`, `FILE:1: model is a list, want a name of the catalogue or a mapping`},
	{`model: {base: 20C}`, `FILE:1: unknown model.base "20C": allowed are 6.7B, 20B, 30B, 345M, llama-2-7b, llama-2-13b, llama-2-70b, llama-3-8b, llama-3-70b, mistral-7b, opt-13b, opt-30b, opt-66b; did you mean 20B?`},
	{`model: {layers: 0, hidden: 64, weights_gb: 1}`, `FILE:1: model.layers is 0, allowed is 1 to 10000`},
	{`model: {layers: 4, hidden: 64}`, `FILE:1: model.weights_gb is missing, and so are heads and vocabulary, from which it would follow`},
	{`model: {layers: 4, hidden: 64, weights_gb: 1}`, `FILE:1: model "custom": heads, ffn and vocabulary are missing, from which a profile could be estimated; no measured one is known for T4`},
	{`model: {layers: 4, hidden: 64, heads: 3, ffn: 256, vocabulary: 1000}`, `FILE:1: model.heads is 3, which does not divide hidden (64): head_dim is missing`},
	{`model: {base: 20B, hiden: 40}`, `FILE:1: unknown key "hiden", did you mean "hidden"?`},
	{`model: llama-2-70b⏎trace: {fixed: {instances: 2, end_s: 600}}`, `FILE:1: model "llama-2-70b" fits no configuration: the smallest share of a GPU (P=8, M=1) is 18.3 GB with KV cache and migration buffer, a GPU has 15.0; the fleet never has more than 8 (g4dn.12xlarge); 10 GPUs would do`},
	{`trace: {fixed: {instances: 2, end_s: 600}}`, `FILE:3: model.min_gpus is 12: model "20B" needs as many GPUs, the fleet never has more than 8 (g4dn.12xlarge)`},
	{`model: {base: 20B, min_gpus: 0}⏎trace: {fixed: {instances: 1, end_s: 600}}`, `FILE:1: model "20B" fits no configuration: the smallest share of a GPU (P=4, M=1) is 20.0 GB with KV cache and migration buffer, a GPU has 15.0; the fleet never has more than 4 (g4dn.12xlarge); 6 GPUs would do`},
	{`instance: g4dn`, `FILE:1: unknown instance "g4dn": allowed are Standard_ND96asr_v4, a2-highgpu-8g, g4dn.12xlarge, g5.12xlarge, g5.48xlarge, g6.12xlarge, g6.48xlarge, p3.8xlarge, p3dn.24xlarge, p4d.24xlarge, p4de.24xlarge, p5.48xlarge; did you mean g4dn.12xlarge?`},
	{`instance: {base: g4dn.12xlarge, gpus: 0}`, `FILE:1: instance.gpus is 0, allowed is 1 to 64`},
	{`instance: {base: g4dn.12xlarge, spot_usd_per_hour: -1}`, `FILE:1: instance.spot_usd_per_hour is -1, allowed is 0 to 1e+06`},
	{`instance: {base: g4dn.12xlarge, spot_usd_per_hour: .nan}`, `FILE:1: instance.spot_usd_per_hour is NaN, allowed is 0 to 1e+06`},
	{`instance: {base: g4dn.12xlarge, gpu: T5}`, `FILE:1: instance.gpu is "T5", of which the catalogue knows no data sheet to estimate a profile from: allowed are A10G, A100-40, A100-80, H100-80, L4, T4, V100, V100-32, or a measured profile`},
	{`instance: {gpu: T4}`, "FILE:1: instance.gpus is missing, allowed is 1 to 64\nFILE:1: instance.usable_gpu_memory_gb is missing, allowed is above 0 up to 10000\nFILE:1: instance.inter_node_gbit_per_s is missing, allowed is above 0 up to 1e+06\nFILE:1: instance.intra_node_gbit_per_s is missing, allowed is above 0 up to 1e+06"},
	{`engine: vllm`, `FILE:1: unknown engine "vllm": allowed are assumed-nvme, fastertransformer-t4, transformer-cpu; did you mean assumed-nvme?`},
	{`engine: {disk_gb_per_s: 0}`, `FILE:1: engine.disk_gb_per_s is 0, allowed is above 0 up to 1000`},
	{`model: {base: 20B, padded_layers: 44}⏎profile: {estimate: roofline}⏎trace: {fixed: {instances: 3, end_s: 60}}`, `FILE:1: model.min_gpus is 12, and the depths that divide 44 layers make no pipeline of 12 to 12 GPUs with the tensor degrees of profile "T4-20B-roofline"; 16 GPUs would do`},
	{`trace: {end_s: 60, changes: [{at_s: 0, add_spot: [a]}, {at_s: 0, remove: [a]}]}`, `FILE:1: the fleet never has a GPU`},
	{`profile: T4-21B`, `FILE:1: unknown profile "T4-21B": allowed are T4-6.7B, T4-20B, T4-30B, V100-6.7B, V100-20B, V100-345M; did you mean T4-20B?`},
	{`profile: V100-20B`, `FILE:1: profile "V100-20B" was measured on V100, the instance "g4dn.12xlarge" has T4`},
	{`profile: T4-30B`, "FILE:1: profile \"T4-30B\" is of 48 layers, model \"20B\" has 44\nFILE:1: profile \"T4-30B\" is of a model 7168 wide, model \"20B\" is 6144 wide"},
	{`profile: {estimate: guess}`, `FILE:1: profile.estimate is "guess", allowed is roofline`},
	{`profile: {estimate: roofline, compute_efficiency: 2}`, `FILE:1: profile.compute_efficiency is 2, allowed is above 0 up to 1`},
	{`profile: {estimate: roofline, max_tensor: 3}`, `FILE:1: estimate of the profile: tensor degree 3 of model 20B, allowed are powers of two from 1 to 16, which share its 48 heads and its FFN width 24576 evenly`},
	{`profile: {file: none.json}`, `FILE:1: profile.file: open none.json: no such file or directory`},
	{`profile: {layers: 44}`, "FILE:1: profile.padded_layers is 0, allowed is layers (44) to 10000\nFILE:1: profile.prompt_tokens is missing, allowed is 1 to 1048576\nFILE:1: profile.fix_factor is missing, allowed is above 0 up to 100\nFILE:1: profile.prefill_comm_ms is missing, allowed is above 0 up to 1e+06\nFILE:1: profile.decode_comm_ms is missing, allowed is above 0 up to 1e+06\nFILE:1: profile.tensors is empty\nFILE:1: profile.max_tensor is 0, allowed is a power of two up to the last tensor degree with rows, 0"},
	{`trace: {}`, `FILE:1: trace has no source, want exactly one of name, file, fixed, generate, changes`},
	{`trace: {name: As, file: x.csv}`, `FILE:1: trace has name and file, want exactly one of name, file, fixed, generate, changes`},
	{`trace: {name: Az}`, `FILE:1: trace.name: unknown trace "Az": allowed are A, As, As+o, B, Bs, Bs+o, g4dn-12h, on-demand-3, on-demand-4, on-demand-6, on-demand-8; did you mean As?`},
	{`trace: {file: data}`, `FILE:1: trace.file is "data", which is no regular file`},
	{`trace: {file: none.csv}`, `FILE:1: trace.file: open none.csv: no such file or directory`},
	{`trace: {name: As, market: spot}`, `FILE:1: trace.market is a key of traces from files only; the catalogue knows how the instances of its traces were bought`},
	{`trace: {fixed: {instances: 0, end_s: 60}}`, `FILE:1: trace.fixed.instances is 0, allowed is 1 to 10000`},
	{`trace: {fixed: {instances: 3}}`, `FILE:1: trace.fixed.end_s is missing, allowed is above 0 up to 2.6784e+06`},
	{`trace: {fixed: {instances: 3, end_s: -60}}`, `FILE:1: trace.fixed.end_s is -60, allowed is above 0 up to 2.6784e+06`},
	{`trace: {fixed: {instances: 3, market: cheap, end_s: 60}}`, `FILE:1: trace.fixed.market is "cheap", allowed are spot, on-demand`},
	{`trace: {fixed: {instances: 3, end_s: 60}, end_s: 90}`, `FILE:1: trace.end_s belongs inside fixed`},
	{`trace: {changes: [{at_s: 0, add_spot: [a]}]}`, `FILE:1: trace.end_s is missing, allowed is above 0 up to 2.6784e+06: changes need an end`},
	{`trace: {end_s: 60, changes: []}`, `FILE:1: trace.changes: no node joins before the trace ends`},
	{`trace: {end_s: 60, changes: [{at_s: 0, required_throughput_rps: 1}]}`, `FILE:1: trace.changes: no node joins before the trace ends`},
	{`trace: {end_s: 60, changes: [{at_s: 90, add_spot: [a]}]}`, `FILE:1: trace.changes: end of the trace: time runs backwards: 60.000s after 90.000s`},
	{`trace: {end_s: 60, changes: [{at_s: 0, add_spot: [a]}, {at_s: 9, remove: [b]}]}`, `FILE:1: trace.changes[1]: node "b" is removed, but it is not up`},
	{`trace: {end_s: 60, changes: [{at_s: 0, add_spot: [a], add_on_demand: [a]}]}`, `FILE:1: trace.changes[0]: node "a" is named twice`},
	{`trace: {end_s: 60, changes: [{at_s: 0, add_spot: [a], remove: [a]}]}`, `FILE:1: trace.changes[0]: instances are added and removed in one change, make it two`},
	{`trace: {name: As, end_s: 0}`, `FILE:1: trace.name: the trace ends at its start`},
	{`trace: {generate: {kind: weibull, instances: 3, end_s: 60}}`, `FILE:1: trace.generate: kind is "weibull", allowed are poisson, bursty`},
	{`trace: {generate: {kind: poisson, instances: 3, mean_up_s: 60, end_s: 60}}`, `FILE:1: trace.generate: mean_down_s is 0, allowed is 0.001 to 1e+08`},
	{`trace: {generate: {kind: poisson, instances: 3, zones: 3, mean_up_s: 60, mean_down_s: 60, end_s: 60}}`, `FILE:1: trace.generate.zones is not used by kind poisson, which has instances, up_at_start, mean_up_s, mean_down_s, market, seed, end_s`},
	{`trace: {generate: {kind: bursty, instances: 3, zones: 4, mean_between_bursts_s: 60, share: 0.5, mean_down_s: 60, end_s: 600}}`, `FILE:1: trace.generate: zones is 4, allowed is 1 to instances (3)`},
	{`trace: {generate: {kind: bursty, instances: 3, zones: 3, mean_between_bursts_s: 60, share: 1.5, mean_down_s: 60, end_s: 600}}`, `FILE:1: trace.generate: share is 1.5, allowed is above 0 up to 1`},
	{`trace: {generate: {kind: poisson, instances: 3, up_at_start: 0, mean_up_s: 60, mean_down_s: 1e7, end_s: 60}}`, `FILE:1: trace.generate: no node joins before the trace ends`},
	{`trace: {generate: {kind: poisson, instances: 9999, mean_up_s: 1, mean_down_s: 1, end_s: 86400}}`, `FILE:1: trace.generate: these times make about 8.64e+08 changes until 86400.000s, at most 1e+06 are allowed`},
	{`arrivals: {}`, `FILE:1: arrivals.rate_rps is missing: requests/s`},
	{`arrivals: {kind: poison, rate_rps: 1}`, `FILE:1: unknown arrivals kind "poison": allowed are artifact, gamma, poisson, even, file; did you mean poisson?`},
	{`arrivals: {rate_rps: 0}`, `FILE:1: arrivals.rate_rps is 0, allowed is above 0 up to 1e+06`},
	{`arrivals: {rate_rps: .inf}`, `FILE:1: arrivals.rate_rps is +Inf, allowed is above 0 up to 1e+06`},
	{`arrivals: {rate_rps: 1, rates_rps: [1]}`, `FILE:1: arrivals.rates_rps and rate_rps are both given`},
	{`arrivals: {rates_rps: []}`, `FILE:1: arrivals.rates_rps is empty`},
	{`arrivals: {rates_rps: [1, -1]}`, `FILE:1: arrivals.rates_rps[1] is -1, allowed is above 0 up to 1e+06`},
	{`arrivals: {rate_rps: 100000}`, `FILE:1: arrivals: 100000 requests/s until 1320.000s are about 1.32e+08 requests, at most 1e+07 are allowed`},
	{`arrivals: {rate_rps: 1, cv: 6}`, `FILE:1: arrivals.cv is not used by kind poisson`},
	{`arrivals: {kind: gamma, rate_rps: 1, cv: 0}`, `FILE:1: arrivals.cv is 0, allowed is above 0 up to 1000`},
	{`arrivals: {rate_rps: 1, file: a.csv}`, `FILE:1: arrivals.rate_rps is not used by kind file; rescale: {rate_rps: ...} changes its rate`},
	{`arrivals: {kind: file}`, `FILE:1: arrivals.file is missing: kind file needs the path of one`},
	{`arrivals: {file: none.csv}`, `FILE:1: arrivals.file: open none.csv: no such file or directory`},
	{`arrivals: {kind: file, file: none.csv, rate_rps: 1}`, `FILE:1: arrivals.rate_rps is not used by kind file; rescale: {rate_rps: ...} changes its rate`},
	{`arrivals: {rate_rps: 1, rescale: {time: 2}}`, `FILE:1: arrivals.rescale is a key of kind file, not of kind poisson`},
	{`arrivals: {file: none.csv, rescale: {time: 2, rate_rps: 1}}`, `FILE:1: arrivals.rescale.time and rescale.rate_rps are both given`},
	{`arrivals: {rate_rps: 1, prompt_tokens: 0}`, `FILE:1: arrivals.prompt_tokens: tokens is 0, allowed is 1 to 1048576`},
	{`arrivals: {rate_rps: 1, prompt_tokens: many}`, `FILE:1: arrivals.prompt_tokens is "many", want a whole number`},
	{`arrivals: {rate_rps: 1, prompt_tokens: {distribution: zipf}}`, `FILE:1: arrivals.prompt_tokens: distribution is "zipf", allowed are fixed, uniform, lognormal, weighted`},
	{`arrivals: {rate_rps: 1, output_tokens: {distribution: uniform, min: 9, max: 3}}`, `FILE:1: arrivals.output_tokens: max is 3, allowed is min (9) to 1048576`},
	{`arrivals: {rate_rps: 1, output_tokens: {distribution: lognormal, mean: 100, sigma: 1}}`, `FILE:1: arrivals.output_tokens: max is 0, allowed is 1 to 1048576`},
	{`arrivals: {rate_rps: 1, output_tokens: {distribution: uniform, max: 3, mean: 2}}`, `FILE:1: arrivals.output_tokens.mean is not used by distribution uniform, which has min, max`},
	{`arrivals: {rate_rps: 1, output_tokens: {distribution: weighted, values: []}}`, `FILE:1: arrivals.output_tokens: values is empty`},
	{`provision: {mode: replay, max_instances: 3}`, `FILE:1: provision.max_instances is a key of mode closed-loop`},
	{`provision: {mode: closed-loop}`, `FILE:1: provision.max_instances is missing, allowed is 1 to 10000`},
	{`provision: {mode: closed, max_instances: 3}`, `FILE:1: provision.mode is "closed", allowed are replay, closed-loop`},
	{`provision: {mode: closed-loop, max_instances: 3}⏎trace: {fixed: {instances: 3, market: on-demand, end_s: 600}}`, `FILE:2: instance node-0 is on-demand: in a closed loop the trace is the spot capacity, on-demand instances are asked for (provision.on_demand)`},
	{`provision: {mode: closed-loop, max_instances: 3, on_demand: true}⏎trace: {end_s: 60, changes: [{at_s: 0, add_spot: [od-1]}]}`, `FILE:2: instance od-1 has the name of an on-demand instance of the closed loop`},
	{`provision: {mode: closed-loop, max_instances: 2}`, `FILE:3: model.min_gpus is 12: model "20B" needs as many GPUs, the fleet never has more than 8 (g4dn.12xlarge)`},
	{`sweep: {}`, `FILE:1: sweep is empty`},
	{`sweep: {rate: []}`, `FILE:1: sweep.rate is empty`},
	{`sweep: {rate: 3}`, `FILE:1: sweep.rate is 3, want a list of values`},
	{`sweep: [rate]`, `FILE:1: sweep is a list, want a mapping of keys to lists of values`},
	{`sweep: {rat: [1, 2]}`, `FILE:1: unknown key "rat" in sweep, did you mean "rate"?`},
	{`sweep: {colour: [1, 2]}`, `FILE:1: unknown key "colour" in sweep, allowed are keys of this file by their path (arrivals.rate_rps) and cv, grace, max_instances, output_tokens, price, prompt_tokens, rate, slo`},
	{`sweep: {seed: [1, 2]}`, `FILE:1: key "seed" cannot be swept; seeds run every point with each seed`},
	{`sweep: {grace: [0, -5, x]}`, "FILE:1: grace_s is -5, allowed is 0 to 3600\nFILE:1: grace_s is \"x\", want a number"},
	{`sweep: {instances: [2, 8]}`, `FILE:1: sweep.instances needs a trace of kind fixed or generate`},
	{`sweep: {approach: [spotserve, rerouting], level: [0, 1]}`, `FILE:1: level is 1, but approach rerouting has no levels`},
	{`sweep: {grace: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]}⏎seeds: 2000`, `FILE:1: sweep and seeds are 20000 runs, allowed are 10000`},
	{`sweep: {rate: [1]}⏎sweep_point: {rate: 1}`, `FILE:1: sweep and sweep_point are both given: a file with a sweep_point is one run of a sweep`},
	{`model: llama-2-7b⏎trace: {fixed: {instances: 2, end_s: 600}}⏎arrivals: {rate_rps: 1, prompt_tokens: 300000}`, `FILE:3: a request of 300128 prompt and output tokens fits no configuration of model "llama-2-7b": the smallest share of a GPU (P=8, M=1) is 22.4 GB with its KV cache and the migration buffer, a GPU has 15.0; the fleet never has more than 8 (g4dn.12xlarge); 16 GPUs would do`},
	{`sweep: {grase: [0, 5]}`, `FILE:1: unknown key "grase" in sweep, did you mean "grace"?`},
	{`sweep: {instance.gpu: [0, 5]}`, "FILE:1: instance.gpu is \"0\", of which the catalogue knows no data sheet to estimate a profile from: allowed are A10G, A100-40, A100-80, H100-80, L4, T4, V100, V100-32, or a measured profile\nFILE:1: instance.gpu is \"5\", of which the catalogue knows no data sheet to estimate a profile from: allowed are A10G, A100-40, A100-80, H100-80, L4, T4, V100, V100-32, or a measured profile"},
	{`sweep: {trace.changes: [48]}`, `FILE:1: trace.changes is 48, want a list`},
}

func TestReadCustomRefuses(t *testing.T) {
	for _, tt := range refusals {
		text := complete(tt.rows)
		_, err := ReadCustom("FILE", []byte(text))
		if err == nil {
			t.Errorf("%s is taken", tt.rows)
			continue
		}
		folder, _ := filepath.Abs(".")
		got := strings.ReplaceAll(err.Error(), folder+string(filepath.Separator), "")
		if got != tt.want {
			t.Errorf("%s\n got  %s\n want %s", tt.rows, got, tt.want)
		}
		for part := range strings.SplitSeq(got, "\n") {
			if !strings.HasPrefix(part, "FILE") {
				t.Errorf("%s: the answer %q names no file", tt.rows, part)
			}
		}
		// The bus answers alike, but for what only a file can have.
		if strings.Contains(tt.rows, "file:") || strings.Contains(tt.rows, "sweep") || strings.Contains(tt.rows, "seeds") {
			continue
		}
		_, _, err = Resolve(event.StartExperiment{Experiment: experiment.Custom, YAML: text})
		if want := strings.ReplaceAll(tt.want, "FILE", "yaml"); err == nil || err.Error() != want {
			t.Errorf("%s over the bus\n got  %v\n want %s", tt.rows, err, want)
		}
	}
}

// TestReadCustomRefusesTexts: what is no experiment file at all.
func TestReadCustomRefusesTexts(t *testing.T) {
	laughs := "l0: &l0 [a, b, c, d, e, f, g, h, i, j]\n"
	for i := 1; i < 9; i++ {
		laughs += strings.ReplaceAll("lN: &lN [*lM, *lM, *lM, *lM, *lM, *lM, *lM, *lM, *lM, *lM]\n", "N", string(rune('0'+i)))
		laughs = strings.ReplaceAll(laughs, "lM", "l"+string(rune('0'+i-1)))
	}
	deep := strings.Repeat("[", 20_000)
	for _, tt := range []struct{ name, text, want string }{
		{"empty", "", "FILE: the file is empty"},
		{"comment", "# nothing\n", "FILE: the file is empty"},
		{"list", "- 1\n", "FILE:1: the file is a list, want a mapping of keys"},
		{"word", "hello\n", `FILE:1: the file is "hello", want a mapping of keys`},
		{"two documents", smallFile + "---\n" + smallFile, "FILE: more than one document"},
		{"not YAML", "a: [1\n", "FILE:1: did not find expected"},
		{"too long", smallFile + strings.Repeat("#", maxCustomFile), "FILE: the file has"},
		{"alias of itself", "a: &a [*a]\n", "FILE:1: an alias stands for what it is part of"},
		{"merge of itself", "a: &m {<<: *m}\n", "FILE:1: mappings are merged (<<) more than 10 deep"},
		{"merge of a number", "a: {<<: 1}\n", "FILE:1: << merges 1, want an alias of a mapping"},
		{"billion laughs", laughs, "FILE:1: the file has more than 262144 values, counting those that aliases repeat"},
		{"deep", deep, "FILE: exceeded max depth of 10000"},
		{"key that is a list", "[a]: 1\n", "FILE:1: a key is a list, want a text"},
		{"nothing but a name", "name: x\n", "FILE: instance is missing: a name of the catalogue, or a mapping\nFILE: model is missing"},
	} {
		_, err := ReadCustom("FILE", []byte(tt.text))
		if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s...", tt.name, err, tt.want)
		}
	}
}

// TestAllMistakesAtOnce: a file with many is answered once.
func TestAllMistakesAtOnce(t *testing.T) {
	_, err := ReadCustom("FILE", []byte("name: x y\ngrace_s: -1\nseed: 0\nmodel: 21B\ninstance: g4\nengine: {disk_gb_per_s: -1}\ntrace: {name: As}\narrivals: {rate_rps: 1}\n"))
	for _, line := range []string{"FILE:1: name", "FILE:2: grace_s", "FILE:3: seed", "FILE:4: unknown model", "FILE:5: unknown instance", "FILE:6: engine.disk_gb_per_s"} {
		if err == nil || !strings.Contains(err.Error(), line) {
			t.Errorf("%q is not among the answers:\n%v", line, err)
		}
	}
	var many strings.Builder
	for i := range 100 {
		fmt.Fprintf(&many, "key%d: 1\n", i)
	}
	_, err = ReadCustom("FILE", []byte(many.String()))
	if err == nil || strings.Count(err.Error(), "\n") > maxErrors || !strings.HasSuffix(err.Error(), "FILE: and more") {
		t.Errorf("got %v", err)
	}
}
