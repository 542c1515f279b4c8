package cli

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
)

// commandLine returns the exit code and what the command line prints.
func commandLine(args string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = Main(strings.Fields(args), &out, &errs)
	return code, out.String(), errs.String()
}

// behindValues is the comments on the lines of a printed experiment.
var behindValues = regexp.MustCompile(` +# .*`)

func TestEveryFlagReachesTheExperiment(t *testing.T) {
	for args, lines := range map[string][]string{
		"workload rerouting B": {
			"# Printed from workload rerouting B.", "approach: rerouting", "batching: idle-only", "pool_depth: 1", "rate_window_s: 0", "quirks: none", "  label: B",
		},
		"workload spotserve A --batching pooled --pool-depth 2 --rate-window 45s --quirks artifact --seed 9": {
			"batching: pooled", "pool_depth: 2", "rate_window_s: 45", "quirks: artifact", "seed: 9",
		},
		"e2e reparallelization 30B As+o --batching idle-only --pool-depth 3 --rate-window 1m": {
			"approach: reparallelization", "batching: idle-only", "pool_depth: 3", "rate_window_s: 60", "  label: As+o",
		},
		"ondemand 6 --pool-depth 4": {"# Printed from ondemand with 6 nodes.", "approach: spotserve", "batching: pooled", "pool_depth: 4"},
		"ablation 3 B":              {"# Printed from ablation B at level 3.", "level: 3", "  label: Bs", "  min_gpus: 12"},
		"ablation 3 B --min-gpus-without-migration-planner": {"level: 3", "  min_gpus: 16"},
	} {
		code, stdout, stderr := commandLine("config print " + args)
		if code != exitOK {
			t.Errorf("%s: exit code %d, %s", args, code, stderr)
			continue
		}
		said := behindValues.ReplaceAllString("\n"+stdout, "")
		for _, line := range lines {
			if !strings.Contains(said, "\n"+line+"\n") {
				t.Errorf("%s: there is no line %q in\n%s", args, line, stdout)
			}
		}
	}
}

func TestExperimentCommandsRefuse(t *testing.T) {
	for _, tt := range []struct {
		args string
		code int
		want string // on stderr
	}{
		{"workload spotserve", exitUsage, "workload takes 2 arguments, got 1: spotserve "},
		{"workload spotserve As", exitFailed, `unknown trace "As": allowed are A, B; did you mean A?`},
		{"workload spotserv A", exitFailed, `unknown approach "spotserv": allowed are spotserve, rerouting, reparallelization; did you mean spotserve?`},
		{"ablation 0", exitUsage, "ablation takes 2 arguments, got 1: spotserve "},
		{"ablation zero A", exitUsage, `ablation level "zero": allowed are 0 to 4`},
		{"ablation 5 A", exitFailed, `unknown ablation level "5": allowed are 0, 1, 2, 3, 4; did you mean 4?`},
		{"ablation 1 As", exitFailed, `unknown trace "As": allowed are A, B; did you mean A?`},
		{"ondemand many", exitUsage, `number of nodes "many": allowed are [3 4 6 8]`},
		{"e2e spotserve 20B As --batching all", exitFailed, `unknown batching "all": allowed are pooled, idle-only`},
		{"e2e spotserve 20B As --pool-depth -2", exitFailed, `pool depth "-2" is not a number of batches of 1 to 1024`},
		{"e2e spotserve 20B As --rate-window -1s", exitFailed, `rate window "-1" is not a number of seconds of 0 (keep to the script) to 3600`},
		{"e2e spotserve 20B As --rate-window 30", exitUsage, `invalid argument "30" for "--rate-window" flag`},
		{"e2e spotserve 20B As --min-gpus-without-migration-planner", exitUsage, "unknown flag: --min-gpus-without-migration-planner"},
	} {
		for _, args := range []string{tt.args + " --virtual --data " + t.TempDir(), "config print " + tt.args} {
			code, stdout, stderr := commandLine(args)
			if code != tt.code || stdout != "" || !strings.Contains(stderr, tt.want) {
				t.Errorf("%s: exit code %d, %q, %q, want %d and %q", args, code, stdout, stderr, tt.code, tt.want)
			}
		}
	}
}

func TestUpRefuses(t *testing.T) {
	for args, want := range map[string]string{
		"up --keep-runs -1":                            "--keep-runs -1: allowed are numbers from 0 on",
		"up --retention -1h":                           "--retention -1h0m0s",
		"up --stream-replicas 6 --nats nats://[::1]:1": "--stream-replicas 6: allowed are 1 to 5",
		"up --stream-replicas 3":                       "the embedded NATS server is one",
		"up --stream-replicas three":                   `invalid argument "three"`,
	} {
		code, stdout, stderr := commandLine(args + " --data " + t.TempDir())
		if code != exitUsage || stdout != "" || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit code %d, %q, %q, want %d and %q", args, code, stdout, stderr, exitUsage, want)
		}
	}
}

func TestHelpNamesWhatTheCatalogueHas(t *testing.T) {
	for command, want := range map[string][]string{
		"e2e":      {"spotserve, rerouting, reparallelization", "6.7B, 20B, 30B", "As, Bs, As+o, Bs+o"},
		"ondemand": {"[3 4 6 8]"},
		"workload": {"spotserve, rerouting, reparallelization", "A, B"},
		"ablation": {"1  the parallelization controller", "4  the device mapper", "A, B"},
	} {
		code, stdout, stderr := commandLine("help " + command)
		for _, text := range want {
			if code != exitOK || !strings.Contains(stdout, text) {
				t.Errorf("help %s: exit code %d, no %q in\n%s%s", command, code, text, stdout, stderr)
			}
		}
	}
}
