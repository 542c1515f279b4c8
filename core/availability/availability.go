// Package availability generates traces of instances that come and go.
//
// A trace is a pure function of its process, seed and end. Each instance and
// each zone draws from streams of its own, so that more of them shift nothing
// for the others.
package availability

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/spotserve/spotserve/core/draw"
	"github.com/spotserve/spotserve/core/vtime"
)

// Kind names a process.
type Kind string

// The processes.
const (
	// Poisson: every instance is up and down for exponentially distributed times,
	// independently of all others.
	Poisson Kind = "poisson"
	// Bursty: a zone loses a share of its instances at one instant. The bursts
	// of a zone are a Poisson process; each lost instance comes back on its own.
	Bursty Kind = "bursty"
)

// Kinds returns the processes.
func Kinds() []Kind { return []Kind{Poisson, Bursty} }

// Limits of a process: they bound the trace's length in memory.
const (
	MaxInstances = 10_000
	maxMeanS     = 1e8
	minMeanS     = 1e-3
	maxChanges   = 1e6 // expected
)

// step is the resolution of a trace's times.
const step = vtime.Time(time.Millisecond)

// Process describes how instances come and go. Times are in seconds.
type Process struct {
	Kind      Kind
	Instances int
	// UpAtStart is how many of them are up at the start, the first by number.
	UpAtStart int
	MeanUp    float64 // of Poisson
	MeanDown  float64 // of Poisson; of Bursty: from a loss to the return
	// Bursty only: instance i is in zone i modulo Zones.
	Zones       int
	MeanToBurst float64 // between the bursts of one zone
	Share       float64 // of a zone's instances that are up, lost in a burst; at least one
}

// Change is who joins or goes at an instant.
type Change struct {
	At    vtime.Time
	Add   bool
	Nodes []string // node-0, node-1, ... in node order
}

// Check says what is wrong with a process that runs until end.
func (p Process) Check(end vtime.Time) error {
	if p.Instances < 1 || p.Instances > MaxInstances {
		return fmt.Errorf("instances is %d, allowed is 1 to %d", p.Instances, MaxInstances)
	}
	if p.UpAtStart < 0 || p.UpAtStart > p.Instances {
		return fmt.Errorf("up_at_start is %d, allowed is 0 to instances (%d)", p.UpAtStart, p.Instances)
	}
	var changes float64
	switch p.Kind {
	case Poisson:
		if err := mean("mean_up_s", p.MeanUp); err != nil {
			return err
		}
		if err := mean("mean_down_s", p.MeanDown); err != nil {
			return err
		}
		changes = 2 * float64(p.Instances) * end.Seconds() / (p.MeanUp + p.MeanDown)
	case Bursty:
		if p.Zones < 1 || p.Zones > p.Instances {
			return fmt.Errorf("zones is %d, allowed is 1 to instances (%d)", p.Zones, p.Instances)
		}
		if err := mean("mean_between_bursts_s", p.MeanToBurst); err != nil {
			return err
		}
		if err := mean("mean_down_s", p.MeanDown); err != nil {
			return err
		}
		if !(p.Share > 0 && p.Share <= 1) {
			return fmt.Errorf("share is %v, allowed is above 0 up to 1", p.Share)
		}
		changes = 2 * float64(p.Instances) * end.Seconds() / p.MeanToBurst
	default:
		return fmt.Errorf("kind is %q, allowed are %s, %s", p.Kind, Poisson, Bursty)
	}
	if changes > maxChanges {
		return fmt.Errorf("these times make about %.3g changes until %v, at most %.0e are allowed", changes, end, maxChanges)
	}
	return nil
}

func mean(what string, seconds float64) error {
	if !(seconds >= minMeanS && seconds <= maxMeanS) {
		return fmt.Errorf("%s is %v, allowed is %v to %v", what, seconds, minMeanS, maxMeanS)
	}
	return nil
}

// Changes returns the trace below end, ascending; what goes at an instant stands
// before what joins. Times are whole milliseconds.
func (p Process) Changes(seed uint64, end vtime.Time) ([]Change, error) {
	if err := p.Check(end); err != nil {
		return nil, err
	}
	var flips []flip
	if p.Kind == Poisson {
		flips = p.poisson(seed, end)
	} else {
		flips = p.bursty(seed, end)
	}
	for i := range p.UpAtStart {
		flips = append(flips, flip{0, i, true})
	}
	slices.SortFunc(flips, flip.compare)
	return group(flips), nil
}

// flip is one instance that joins or goes.
type flip struct {
	at   vtime.Time
	node int
	add  bool
}

func (f flip) compare(o flip) int {
	order := func(add bool) int {
		if add {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(f.at, o.at), cmp.Compare(order(f.add), order(o.add)), cmp.Compare(f.node, o.node))
}

// group joins what happens at one instant.
func group(flips []flip) []Change {
	var out []Change
	for _, f := range flips {
		node := "node-" + strconv.Itoa(f.node)
		if n := len(out) - 1; n >= 0 && out[n].At == f.at && out[n].Add == f.add {
			out[n].Nodes = append(out[n].Nodes, node)
			continue
		}
		out = append(out, Change{At: f.at, Add: f.add, Nodes: []string{node}})
	}
	return out
}

// poisson lets each instance alternate on its own.
func (p Process) poisson(seed uint64, end vtime.Time) []flip {
	var flips []flip
	for i := range p.Instances {
		r := draw.Stream(seed, "availability/instance-"+strconv.Itoa(i))
		at, up := vtime.Time(0), i < p.UpAtStart
		for {
			stay := p.MeanDown
			if up {
				stay = p.MeanUp
			}
			if at = after(r, at, stay); at >= end {
				break
			}
			up = !up
			flips = append(flips, flip{at, i, up})
		}
	}
	return flips
}

// bursty lets zone after zone live through its bursts.
func (p Process) bursty(seed uint64, end vtime.Time) []flip {
	var flips []flip
	for zone := range p.Zones {
		r := draw.Stream(seed, "availability/zone-"+strconv.Itoa(zone))
		back := make(map[int]vtime.Time) // when an instance that is down returns
		var members []int
		for i := zone; i < p.Instances; i += p.Zones {
			members = append(members, i)
			if i >= p.UpAtStart {
				back[i] = after(r, 0, p.MeanDown)
			}
		}
		for burst := after(r, 0, p.MeanToBurst); ; burst = after(r, burst, p.MeanToBurst) {
			var up []int
			for _, i := range members {
				at, down := back[i]
				if down && at < min(burst, end) {
					flips = append(flips, flip{at, i, true})
					delete(back, i)
					down = false
				}
				if !down {
					up = append(up, i)
				}
			}
			if burst >= end {
				break
			}
			r.Shuffle(len(up), func(a, b int) { up[a], up[b] = up[b], up[a] })
			for _, i := range up[:p.lost(len(up))] {
				flips = append(flips, flip{burst, i, false})
				back[i] = after(r, burst, p.MeanDown)
			}
		}
	}
	return flips
}

// lost is how many of a zone's instances go in a burst.
func (p Process) lost(up int) int {
	if up == 0 {
		return 0
	}
	return max(1, int(math.Round(p.Share*float64(up))))
}

// after draws the next instant of a process with exponential gaps. It is later
// by one step at least: nothing comes and goes at one instant.
func after(r *rand.Rand, at vtime.Time, mean float64) vtime.Time {
	gap := min(r.ExpFloat64()*mean, 1e9) // s; far beyond every end, far from overflow
	return at + max(step, (vtime.Seconds(gap)+step/2)/step*step)
}
