package availability

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spotserve/spotserve/core/vtime"
)

const day = vtime.Time(24 * time.Hour)

func poisson(instances int) Process {
	return Process{Kind: Poisson, Instances: instances, UpAtStart: instances, MeanUp: 1800, MeanDown: 600}
}

func bursty(instances int) Process {
	return Process{Kind: Bursty, Instances: instances, UpAtStart: instances, Zones: 3, MeanToBurst: 3600, Share: 0.5, MeanDown: 600}
}

// history is what a trace does to its instances.
type history struct {
	up         map[string]vtime.Time // since when
	down       map[string]vtime.Time
	ups, downs []float64 // lengths of all that ended, s
}

// replay requires that a trace is possible.
func replay(t *testing.T, changes []Change, end vtime.Time) history {
	t.Helper()
	h := history{up: make(map[string]vtime.Time), down: make(map[string]vtime.Time)}
	for i, c := range changes {
		if c.At < 0 || c.At >= end || c.At%step != 0 || len(c.Nodes) == 0 {
			t.Fatalf("bad change %+v", c)
		}
		if i > 0 && (c.At < changes[i-1].At || c.At == changes[i-1].At && (changes[i-1].Add || !c.Add)) {
			t.Fatalf("%+v follows %+v", c, changes[i-1])
		}
		for _, node := range c.Nodes {
			since, up := h.up[node]
			if up == c.Add {
				t.Fatalf("%s: %+v of an instance that is up: %v", node, c, up)
			}
			if c.Add {
				if from, ok := h.down[node]; ok {
					h.downs = append(h.downs, c.At.Sub(from).Seconds())
				}
				h.up[node] = c.At
				continue
			}
			h.ups = append(h.ups, c.At.Sub(since).Seconds())
			h.down[node] = c.At
			delete(h.up, node)
		}
	}
	return h
}

// exponential requires of lengths that they have the mean, and the deviation
// that goes with it.
func exponential(t *testing.T, what string, lengths []float64, mean float64) {
	t.Helper()
	sum, squares := 0.0, 0.0
	for _, x := range lengths {
		sum, squares = sum+x, squares+x*x
	}
	n := float64(len(lengths))
	limit := 5 * mean / math.Sqrt(n)
	got := sum / n
	if deviation := math.Sqrt(squares/n - got*got); math.Abs(got-mean) > limit || math.Abs(deviation-mean) > 2*limit {
		t.Errorf("%s: mean %v and deviation %v of %d, want %v within %v", what, got, deviation, len(lengths), mean, limit)
	}
}

func TestPoissonStatistics(t *testing.T) {
	const end = 20 * day
	p := poisson(40)
	changes, err := p.Changes(1, end)
	if err != nil {
		t.Fatal(err)
	}
	h := replay(t, changes, end)
	exponential(t, "up times", h.ups, p.MeanUp)
	exponential(t, "down times", h.downs, p.MeanDown)
	if n, want := float64(len(h.ups)), 40*end.Seconds()/(p.MeanUp+p.MeanDown); math.Abs(n-want) > want/20 {
		t.Errorf("%v losses, want about %v", n, want)
	}
	alone := 0
	for _, c := range changes {
		if len(c.Nodes) == 1 {
			alone++
		}
	}
	if alone < len(changes)*99/100 {
		t.Errorf("%d of %d changes are of one instance: they are to be independent", alone, len(changes))
	}
}

func TestBurstyStatistics(t *testing.T) {
	const end = 30 * day
	p := bursty(30)
	changes, err := p.Changes(1, end)
	if err != nil {
		t.Fatal(err)
	}
	h := replay(t, changes, end)
	exponential(t, "down times", h.downs, p.MeanDown)
	bursts := make(map[int][]vtime.Time)
	up := make(map[int]int)
	for i := range p.Instances {
		up[i%p.Zones]++
	}
	for _, c := range changes[1:] { // the first is the start
		zones := make(map[int]int)
		for _, node := range c.Nodes {
			var i int
			if _, err := fmt.Sscanf(node, "node-%d", &i); err != nil {
				t.Fatal(err)
			}
			zones[i%p.Zones]++
		}
		for zone, n := range zones {
			if c.Add {
				up[zone] += n
				continue
			}
			if want := max(1, int(math.Round(p.Share*float64(up[zone])))); n != want {
				t.Fatalf("zone %d loses %d of %d instances, want %d", zone, n, up[zone], want)
			}
			up[zone] -= n
			bursts[zone] = append(bursts[zone], c.At)
		}
	}
	var gaps []float64
	for zone := range p.Zones {
		for i, at := range bursts[zone] {
			if i > 0 {
				gaps = append(gaps, at.Sub(bursts[zone][i-1]).Seconds())
			}
		}
	}
	exponential(t, "gaps between bursts", gaps, p.MeanToBurst)
}

func TestUpAtStart(t *testing.T) {
	for _, p := range []Process{poisson(9), bursty(9)} {
		for _, n := range []int{0, 4, 9} {
			p.UpAtStart = n
			changes, err := p.Changes(3, day)
			if err != nil {
				t.Fatal(err)
			}
			replay(t, changes, day)
			first := 0
			if changes[0].At == 0 {
				first = len(changes[0].Nodes)
			}
			if first != n {
				t.Errorf("%s: %d instances are up at the start, want %d", p.Kind, first, n)
			}
		}
	}
}

// TestChangesAreAFunctionOfSeed: and more instances shift nothing for the first
// ones, nor does a later end.
func TestChangesAreAFunctionOfSeed(t *testing.T) {
	for _, p := range []Process{poisson(6), bursty(6)} {
		a, _ := p.Changes(1, day)
		again, _ := p.Changes(1, day)
		other, _ := p.Changes(2, day)
		if !reflect.DeepEqual(a, again) || reflect.DeepEqual(a, other) {
			t.Errorf("%s: one seed gives two traces, or two seeds one", p.Kind)
		}
		longer, _ := p.Changes(1, 2*day)
		if !reflect.DeepEqual(longer[:len(a)], a) {
			t.Errorf("%s: a later end changes what comes before", p.Kind)
		}
	}
	more := poisson(7)
	a, _ := poisson(6).Changes(1, day)
	b, _ := more.Changes(1, day)
	if fmt.Sprint(without(b, "node-6")) != fmt.Sprint(without(a, "")) {
		t.Error("a seventh instance changes the first six")
	}
}

func without(changes []Change, node string) (out []string) {
	for _, c := range changes {
		for _, n := range c.Nodes {
			if n != node {
				out = append(out, fmt.Sprint(c.At, c.Add, n))
			}
		}
	}
	return out
}

// TestExtremes: shares and times at their limits make possible traces.
func TestExtremes(t *testing.T) {
	for _, edit := range []func(*Process){
		func(p *Process) { p.Share = 1 },
		func(p *Process) { p.Share = 1e-9 },
		func(p *Process) { p.Zones = p.Instances },
		func(p *Process) { p.Zones = 1 },
		func(p *Process) { p.MeanDown = minMeanS },
		func(p *Process) { p.MeanDown = maxMeanS },
		func(p *Process) { p.MeanUp, p.MeanToBurst = 10, 10 },
		func(p *Process) { p.MeanUp, p.MeanToBurst = maxMeanS, maxMeanS },
	} {
		for _, p := range []Process{poisson(5), bursty(5)} {
			edit(&p)
			changes, err := p.Changes(1, day)
			if err != nil {
				t.Errorf("%+v: %v", p, err)
			}
			replay(t, changes, day)
		}
	}
}

func TestCheckRefuses(t *testing.T) {
	nan := math.NaN()
	for _, tt := range []struct {
		edit func(*Process)
		p    Process
		want string
	}{
		{func(p *Process) { p.Kind = "weibull" }, poisson(3), `kind is "weibull", allowed are poisson, bursty`},
		{func(p *Process) { p.Instances = 0 }, poisson(3), "instances is 0, allowed is 1 to 10000"},
		{func(p *Process) { p.UpAtStart = 4 }, poisson(3), "up_at_start is 4, allowed is 0 to instances (3)"},
		{func(p *Process) { p.UpAtStart = -1 }, poisson(3), "up_at_start is -1"},
		{func(p *Process) { p.MeanUp = nan }, poisson(3), "mean_up_s is NaN"},
		{func(p *Process) { p.MeanDown = 0 }, poisson(3), "mean_down_s is 0"},
		{func(p *Process) { p.MeanUp, p.MeanDown = 0.01, 0.01 }, poisson(1000), "these times make about 8.64e+09 changes"},
		{func(p *Process) { p.Zones = 0 }, bursty(3), "zones is 0"},
		{func(p *Process) { p.Zones = 4 }, bursty(3), "zones is 4, allowed is 1 to instances (3)"},
		{func(p *Process) { p.MeanToBurst = -1 }, bursty(3), "mean_between_bursts_s is -1"},
		{func(p *Process) { p.MeanDown = nan }, bursty(3), "mean_down_s is NaN"},
		{func(p *Process) { p.Share = nan }, bursty(3), "share is NaN, allowed is above 0 up to 1"},
		{func(p *Process) { p.Share = 1.1 }, bursty(3), "share is 1.1"},
	} {
		tt.edit(&tt.p)
		if _, err := tt.p.Changes(1, day); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("got error %v, want %s...", err, tt.want)
		}
	}
}
