package sim_test

import (
	"regexp"
	"strings"
	"testing"
)

// The sentences of the paper (ASPLOS'24) that say what the system does, each
// with a scenario that shows it. Sections 3.2 to 4.2; the pieces on their own
// are tested in their packages.
var paper = []struct {
	section string
	claim   string
	script  string
	// says has to stand in the conversation, in this order; never must not.
	says  []string
	never string
}{
	{
		section: "3.2", claim: "the controller prefers the lowest latency among the configurations that sustain the load",
		script: "model 20B\nadd 0 0 1 2 3 4 5 6 7\nend 30",
		says:   []string{`plan 1\.1: 2x2x8`},
	},
	{
		section: "3.2", claim: "if none sustains it, the controller maximises throughput",
		script: "model 20B\nadd 0 0 1 2\nend 30",
		says:   []string{`plan 1\.1: 1x3x4`},
	},
	{
		section: "3.2", claim: "a change of the workload alone reconfigures",
		script: "model 20B\nadd 0 0 1 2 3 4 5 6 7 8\nrequire 60 0.8\nend 100",
		says:   []string{`plan 1\.1: 2x2x8`, `60\.\d+ .*plan 1\.2: 3x3x4 for the change at 60`},
	},
	{
		section: "3.2", claim: "a configuration may take more instances than there are; spot and on-demand instances are asked for at the same time",
		script: "model 20B\nloop 10 2 40 60\nadd 0 0 1 2 3 4 5\nend 90",
		says: []string{
			`plan 1\.1: 2x3x4`, `plan 1\.2: 2x2x8 for the change at 60\.0`,
		},
	},
	{
		section: "3.2", claim: "on-demand instances are the first to be freed",
		script: "model 20B\nloop 10 2 40 60\nadd 0 0 1 2 3 4 5 6 7\nadd 100 8 9\nend 200",
		says:   []string{`60\.010  cloud +2 nodes from od-0 have joined`, `give back \[od-1 od-0\]`},
		never:  `give back .*node`,
	},
	{
		section: "3.2", claim: "a candidate pool makes substitutions fast",
		script: "model 20B\nloop 10 1 40\nadd 0 0 1 2 3 4 5 6 7 8\nremove 60 3\nend 100",
		says:   []string{`plan 1\.1: 2x2x8`, `5\d\.\d+ .*plan 1\.2: 2x2x8 for the change at 60\.000s, 4 devices are new`},
	},
	{
		section: "3.3", claim: "devices keep the context that they have: only the replaced node receives weights",
		script: "model 20B\nadd 0 0 1 2 3 4 5 6 7 8\nremove 60 3\nend 100",
		// One node's share of GPT-20B in 2x2x8 is 74.5 GB / 4.
		says: []string{`plan 1\.2: 2x2x8 for the change at 60\.000s, 4 devices are new`, `move 18\.6\d GB weights`},
	},
	{
		section: "3.3", claim: "an interrupted request goes where its KV cache is",
		script: "model 20B\nadd 0 0 1 2 3 4 5\nremove 60 3\narrive 20 8 5\nend 100",
		says:   []string{`exit with \[3\+97\]`, `plan 1\.2: 1x2x8`, `batch 1 of \[3\], resumed`},
	},
	{
		section: "3.4", claim: "migration overlaps with the start of the engine",
		script: "model 20B\nadd 0 0 1 2 3 4 5\nremove 60 3\nend 100",
		// Ready one engine start after the plan, though gigabytes move.
		says: []string{`(?m)^ *5\d\.(\d+) .*move [1-9][\d.]+ GB weights.*ready at 6\d\.`},
	},
	{
		section: "4.1", claim: "before a preemption pipelines decode as long as the migration leaves them time, and commit",
		script: "model 20B\nadd 0 0 1 2 3 4 5\nremove 60 3\narrive 20 8 5\nend 100",
		says:   []string{`stop \d\.\d+s before 60\.000s`, `exit with \[3\+\d+\]`, `0 tokens computed in vain`},
	},
	{
		section: "4.1", claim: "before an acquisition pipelines decode until the instance is there",
		script: "model 20B\nadd 0 0 1 2 3 4 5 6\nadd 60 7\narrive 20 8 6\nend 120",
		says:   []string{`stop at 60\.000s, for nodes that join`, `60\.\d+ .*exit with`, `resumed`, `0 tokens computed in vain`},
	},
	{
		section: "4.1", claim: "a resumed batch can be interrupted again, and keeps all its tokens",
		script: "model 20B\ngrace 12\nadd 0 0 1 2 3 4 5 6 7\nremove 60 3\nremove 70 4\narrive 46 1 2\nend 140",
		says:   []string{`resumed`, `exit with \[0\+`, `resumed`, `0 tokens computed in vain`},
	},
	{
		section: "4.1", claim: "no reconfiguration when neither configuration nor working devices change",
		script: "model 20B\nadd 0 0 1 2 3 4 5 6 7\nadd 40 8\nremove 80 8\nend 120",
		says:   []string{`plan 1\.1`},
		never:  `plan 1\.2`,
	},
	{
		section: "4.2", claim: "overlapping notices: the acquired instance joins later, the earlier arrangement stays feasible",
		script: "model 20B\nadd 0 0 1 2 3 4 5\nremove 60 5\nadd 62 6\narrive 30 9 3\nend 140",
		says:   []string{`stop \d\.\d+s before 60\.000s`, `plan 1\.2: 1x2x8`, `plan 1\.3: 2x3x4`},
	},
	{
		section: "4.2", claim: "a preemption earlier than announced loses the cache, not the tokens committed",
		script: "model 20B\ngrace 0\nadd 0 0 1 2 3 4 5\nremove 38 4\narrive 10 2 6\nend 80",
		says:   []string{`stop at once`, `take \[3\+64 5\+64\]`, `6 accepted, 6 completed`},
	},
	{
		section: "4.2", claim: "if all replicas of a piece are gone it is reloaded",
		script: "model 20B\ngrace 0\nadd 0 0 1 2\nadd 20 3\nremove 40 1\narrive 25 5 2\nend 100",
		says:   []string{`plan 1\.3: .*load [1-9][\d.]* GB`, `2 accepted, 2 completed`},
	},
}

func TestPaper(t *testing.T) {
	for _, p := range paper {
		t.Run(p.section+" "+p.claim, func(t *testing.T) {
			got := play(t, p.script)
			rest := got
			for _, say := range p.says {
				at := regexp.MustCompile(say).FindStringIndex(rest)
				if at == nil {
					t.Fatalf("section %s: %q is not said (after what was found before) in\n%s", p.section, say, got)
				}
				rest = rest[strings.LastIndex(rest[:at[1]], "\n")+1:]
			}
			if p.never != "" && regexp.MustCompile(p.never).MatchString(got) {
				t.Errorf("section %s: %q must not be said in\n%s", p.section, p.never, got)
			}
		})
	}
}
