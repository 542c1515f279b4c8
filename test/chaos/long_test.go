//go:build unix

package chaos

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spotserve/spotserve/platform/failpoint"

	"github.com/spotserve/spotserve/test/internal/runs"
)

// The settings of TestLong, from the environment.
const (
	longEnv   = "SPOTSERVE_CHAOS_FOR"    // how long faults go on: 10m. There is no default, and no test without it
	seedEnv   = "SPOTSERVE_CHAOS_SEED"   // of the schedule of faults and of the experiments: 1
	rateEnv   = "SPOTSERVE_CHAOS_RATE"   // requests an experiment second: 1.5
	lengthEnv = "SPOTSERVE_CHAOS_LENGTH" // of one run, in experiment seconds: 1320
	scaleEnv  = "SPOTSERVE_CHAOS_SCALE"  // experiment seconds a second: 20
)

// setting reads one of them.
func setting[T any](t *testing.T, name, byDefault string, parse func(string) (T, error)) T {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		text = byDefault
	}
	v, err := parse(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return v
}

// positive parses a number above 0.
func positive(text string) (float64, error) {
	v, err := strconv.ParseFloat(text, 64)
	if err == nil && !(v > 0) {
		err = fmt.Errorf("%s: allowed are numbers above 0", text)
	}
	return v, err
}

// TestLong draws faults for as long as it is told, one after the other and some
// at once, while experiments run on sites of their own, one after the other.
// Which faults come, and when, depends on the seed and on when runs end; what is
// under way in the processes just then does not.
func TestLong(t *testing.T) {
	if os.Getenv(longEnv) == "" {
		t.Skipf("SKIPPED, NOT TESTED: set %s to a duration, or make chaos", longEnv)
	}
	lasts := setting(t, longEnv, "", time.ParseDuration)
	seed := setting(t, seedEnv, "1", func(s string) (uint64, error) { return strconv.ParseUint(s, 10, 64) })
	l := &longRun{
		rate: setting(t, rateEnv, "1.5", positive), lengthS: int(setting(t, lengthEnv, "1320", positive)), scale: setting(t, scaleEnv, strconv.Itoa(scale), positive),
		rand: rand.New(rand.NewPCG(seed, 0)), counts: make(map[string]int), began: time.Now(),
	}
	l.end = l.began.Add(lasts)
	for n, failed := 1, 0; time.Now().Before(l.end) && failed < 3; n++ {
		servers := []int{0, 3}[l.rand.IntN(2)]
		if !t.Run(fmt.Sprintf("site %d, of %d NATS servers", n, max(1, servers)), func(t *testing.T) { l.site(t, servers) }) {
			failed++
		}
	}
	t.Logf("seed %d, %g requests a second for %d s at scale %g:\n%s", seed, l.rate, l.lengthS, l.scale, l)
}

// longRun is what TestLong does, and what became of it.
type longRun struct {
	rate, scale float64
	lengthS     int
	rand        *rand.Rand
	began, end  time.Time

	runs   int
	counts map[string]int // of faults and of kinds of runs
	faults int
	ended  int // processes that failed without a fault of their own
	sum    runs.Report
}

// A site keeps longNodes nodes; before longSite is over no new one is made.
const (
	longNodes = 11
	longSite  = 10 * time.Minute
)

// site has faults on one site.
func (l *longRun) site(t *testing.T, servers int) {
	env := make(map[string][]string)
	for _, name := range append(nodes(longNodes), "collector", "planner-0", "planner-1", "trace-replayer-0", "trace-replayer-1") {
		env[name] = []string{failpoint.Env + "=" + failpoint.Receive + "=duplicate:0.01,late:50ms:0.01,seed=" + strconv.Itoa(1+l.rand.IntN(1000))}
	}
	c := &chaos{
		site: newSite(t, options{nodes: longNodes, servers: servers, linked: true, env: env}),
		rand: l.rand, counts: make(map[string]int), began: l.began,
	}
	defer func() {
		l.ended += c.ended
		for name, n := range c.counts {
			l.counts["fault: "+name] += n
			l.faults += n
		}
	}()
	over := time.Now().Add(longSite)
	for time.Now().Before(over) && time.Now().Before(l.end) {
		run := c.accepted(l.experiment())
		calm := time.Now().Add(time.Duration(float64(l.lengthS) / l.scale * float64(time.Second)))
		if calm.After(l.end) {
			calm = l.end
		}
		c.disturb(run, calm)
		r := c.mustBeWhole(run)
		l.runs++
		l.sum.Totals.Accepted += r.Totals.Accepted
		l.sum.Totals.Completed += r.Totals.Completed
		l.sum.Totals.UnfinishedAtEnd += r.Totals.UnfinishedAtEnd
		l.sum.Totals.LateFacts += r.Totals.LateFacts
		l.sum.Terms += r.Terms
		l.sum.Joined += r.Joined
		l.sum.Gap = max(l.sum.Gap, r.Gap)
	}
}

// experiment draws the next one: approach, kind of batching, and a fleet that
// changes every minute or two. One in four serves the model whose pipelines take
// three nodes, under the load that it was published with.
func (l *longRun) experiment() string {
	pick := func(of ...string) string { return of[l.rand.IntN(len(of))] }
	approach, batching := pick("spotserve", "rerouting", "reparallelization"), pick("pooled", "idle-only", "continuous")
	model, rate := "6.7B", l.rate
	if l.rand.IntN(4) == 0 {
		model, rate = "20B", 0.35
	}
	l.counts["run: "+model+", "+approach+", "+batching]++
	var b strings.Builder
	fmt.Fprintf(&b, `name: chaos-long
approach: %s
batching: %s
seed: %d
time_scale: %g
drain: true
grace_s: 120
model: %s
instance: g4dn.12xlarge
profile: T4-%s
arrivals: {kind: gamma, rate_rps: %g, cv: 2, prompt_tokens: 512, output_tokens: 128}
trace:
  end_s: %d
  changes:
`, approach, batching, 1+l.rand.IntN(1000), l.scale, model, model, rate, l.lengthS)
	l.changes(&b)
	return b.String()
}

// changes draws a fleet of 7 nodes at first, and of 6 to 11 from then on.
func (l *longRun) changes(b *strings.Builder) {
	here, away := nodes(longNodes)[:7], nodes(longNodes)[7:]
	fmt.Fprintf(b, "    - {at_s: 0, add_spot: [%s]}\n", strings.Join(here, ", "))
	for at := 0; ; {
		at += 60 + l.rand.IntN(120)
		if at >= l.lengthS {
			return
		}
		from, to, what := &here, &away, "remove"
		if len(here) == 6 || len(away) > 0 && l.rand.IntN(2) == 0 {
			from, to, what = &away, &here, "add_spot"
		}
		i := l.rand.IntN(len(*from))
		node := (*from)[i]
		*from, *to = slices.Delete(slices.Clone(*from), i, i+1), append(slices.Clone(*to), node)
		fmt.Fprintf(b, "    - {at_s: %d, %s: [%s]}\n", at, what, node)
	}
}

// String is the table of it all.
func (l *longRun) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d runs in %v with %d faults, after which %d processes ended by themselves\n%s\n",
		l.runs, time.Since(l.began).Round(time.Second), l.faults, l.ended, l.sum)
	for _, name := range slices.Sorted(maps.Keys(l.counts)) {
		fmt.Fprintf(&b, "%6d  %s\n", l.counts[name], name)
	}
	return b.String()
}
