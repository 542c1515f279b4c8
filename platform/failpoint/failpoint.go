// Package failpoint makes a process fail on purpose, at a named place: tests of
// real processes need faults where no signal from outside would hit.
//
// Points are armed by the environment, before the process starts to work:
//
//	SPOTSERVE_FAILPOINTS='actor/publish=kill@120;natsbus/deliver=duplicate:0.05,late:50ms:0.05,seed=7'
//
// A point is place=actions, points are separated by semicolons and actions by
// commas. @N after an action has it happen at the Nth time that the place is
// passed. The actions are:
//
//	kill@N            the process ends at once, as by SIGKILL
//	stop:DURATION@N   the process stands still, as by SIGSTOP, and goes on after DURATION
//	duplicate:P       a message is handed on twice, with probability P
//	late:DURATION:P   a message is handed on DURATION later, with probability P; others overtake it
//	seed=N            of what happens by chance; 0 if it is left out
//
// kill and stop belong to places that are passed (Hit), duplicate and late to
// those that hand messages on (Deliver). Disarmed, which is the normal case, a
// place costs one atomic load.
package failpoint

import (
	"fmt"
	"hash/fnv"
	"math"
	"sync/atomic"
	"time"
)

// Env names the environment variable that arms points.
const Env = "SPOTSERVE_FAILPOINTS"

// The places.
const (
	Publish = "actor/publish"    // before an event is handed to the bus
	Elected = "actor/elected"    // a planner's election is on the stream, and nothing is read yet
	Stored  = "collector/stored" // rows are in the store, and nothing is acknowledged yet
	Receive = "natsbus/deliver"  // JetStream has delivered a message, and the reader has not checked its place yet
)

// places says which are passed and which hand messages on.
var places = map[string]bool{Publish: false, Elected: false, Stored: false, Receive: true}

type action struct {
	do    string
	at    uint64 // kill, stop: the time that it happens; 0 for the others
	share float64
	wait  time.Duration
}

type point struct {
	name    string
	seed    uint64
	actions []action
	passed  atomic.Uint64
}

type points map[string]*point

var armed atomic.Pointer[points]

// Arm arms the points that text describes; none if it is empty. Its error names
// the part that cannot be read.
func Arm(text string) error {
	if text == "" {
		armed.Store(nil)
		return nil
	}
	p, err := parse(text)
	if err != nil {
		return fmt.Errorf("%s: %w", Env, err)
	}
	armed.Store(&p)
	return nil
}

// Hit does what is armed for a place.
func Hit(place string) {
	all := armed.Load()
	if all == nil {
		return
	}
	p := (*all)[place]
	if p == nil {
		return
	}
	n := p.passed.Add(1)
	for _, a := range p.actions {
		if a.at == n {
			a.strike()
		}
	}
}

// Deliver hands m on, as what is armed for a place has it: once, twice, or
// later, on another goroutine.
func Deliver[T any](place string, m T, handle func(T)) {
	all := armed.Load()
	if all == nil {
		handle(m)
		return
	}
	p := (*all)[place]
	if p == nil {
		handle(m)
		return
	}
	n := p.passed.Add(1)
	for _, a := range p.actions {
		if p.draw(a.do, n) >= a.share {
			continue
		}
		if a.do == "late" {
			time.AfterFunc(a.wait, func() { handle(m) })
			return
		}
		handle(m)
	}
	handle(m)
}

// draw is uniform in [0, 1) and depends on the seed, the point, the action and
// the number alone.
func (p *point) draw(action string, n uint64) float64 {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%d/%s/%s/%d", p.seed, p.name, action, n)
	x := h.Sum64() // FNV's high bits hardly depend on the last bytes
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	x ^= x >> 31
	return float64(x>>11) / (math.MaxUint64>>11 + 1)
}
