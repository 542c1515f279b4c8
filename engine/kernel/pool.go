package kernel

import (
	"sync"
	"sync/atomic"
	"time"
)

// Wait is how long a thread that has nothing to do looks for more before it
// blocks.
type Wait time.Duration

// Block is for more threads than processors, and where others need them: there a
// thread that looks keeps the one that works from working. Spin saves the time
// that it takes to wake up; on processors of one's own it can be longer, 2 ms.
const (
	Block Wait = 0
	Spin       = Wait(50 * time.Microsecond)
)

// job is work in equal pieces: one kind of many, without a closure, so that
// starting it allocates nothing.
type job struct {
	kind         jobKind
	total, grain int // pieces, and how many a thread takes at a time

	call func(i int) // jobCalls

	level     Level // jobMatMul
	out, x    []float32
	stride, n int
	w         Matrix
}

type jobKind uint8

const (
	jobCalls jobKind = iota
	jobMatMul
)

func (j *job) do(from, to int) {
	switch j.kind {
	case jobMatMul:
		matMulRows(j.level, j.out, j.stride, j.x, j.n, j.w, from, to)
	default:
		for i := from; i < to; i++ {
			j.call(i)
		}
	}
}

// pool is the caller's thread and some helpers. A job is open from when the
// caller starts it until no piece is left; a helper joins it if it is awake in
// time, and the caller waits for those that have joined, not for the others.
type pool struct {
	threads int
	wait    Wait

	busy sync.Mutex // held by the caller whose job it is
	job  job        // written while no helper is in it
	next atomic.Int64

	// state counts jobs and, in its low bits, the helpers that are in the last
	// one and whether it is open.
	state atomic.Uint64
	left  chan struct{} // the last helper left a job that is no longer open

	helpers []helper
	closed  atomic.Bool
	ended   sync.WaitGroup
}

const (
	stateOpen   = 1
	stateMember = 2
	stateJob    = 1 << 16
)

func members(state uint64) uint64 { return state % stateJob / stateMember }

// maxThreads keeps the members of a job within their bits of the state.
const maxThreads = 1024

// helper is a thread of a pool but the caller's.
type helper struct {
	wake   chan struct{}
	asleep atomic.Bool
	_      [64]byte // others look at it all the time
}

func newPool(threads int, wait Wait) *pool {
	p := &pool{threads: min(threads, maxThreads), wait: wait, left: make(chan struct{}, 1)}
	p.helpers = make([]helper, p.threads-1)
	for i := range p.helpers {
		h := &p.helpers[i]
		h.wake = make(chan struct{}, 1)
		p.ended.Go(func() { p.help(h) })
	}
	return p
}

func (p *pool) close() {
	p.busy.Lock()
	defer p.busy.Unlock()
	p.closed.Store(true)
	p.wakeUp(len(p.helpers))
	p.ended.Wait()
}

// run does a job. If the helpers are at another, the caller does it alone.
func (p *pool) run(j job) {
	chunks := (j.total + j.grain - 1) / j.grain
	if chunks <= 1 || len(p.helpers) == 0 || !p.busy.TryLock() {
		j.do(0, j.total)
		return
	}
	defer p.busy.Unlock()
	if p.closed.Load() {
		j.do(0, j.total)
		return
	}
	p.job = j
	p.next.Store(0)
	p.state.Store(p.state.Load() + stateJob + stateOpen)
	p.wakeUp(min(chunks-1, len(p.helpers)))
	p.work()
	p.join()
	p.job = job{} // keeps nothing of the caller's alive
}

// work takes pieces until there are none.
func (p *pool) work() {
	j := &p.job
	for {
		to := p.next.Add(int64(j.grain))
		from := to - int64(j.grain)
		if from >= int64(j.total) {
			return
		}
		j.do(int(from), int(min(to, int64(j.total))))
	}
}

// join closes the job and waits for the helpers that are in it.
func (p *pool) join() {
	state := p.state.Add(^uint64(stateOpen - 1)) // takes the bit away
	if members(state) == 0 {
		return
	}
	p.look(func() bool { return members(p.state.Load()) == 0 })
	<-p.left
}

// look waits until done for at most the pool's time to look, and says whether it is.
func (p *pool) look(done func() bool) bool {
	if p.wait <= 0 {
		return done()
	}
	for from := time.Now(); ; {
		for range 64 {
			if done() {
				return true
			}
			pause()
		}
		if time.Since(from) > time.Duration(p.wait) {
			return false
		}
	}
}

// wakeUp wakes up to n helpers that are asleep.
func (p *pool) wakeUp(n int) {
	for i := range p.helpers[:n] {
		h := &p.helpers[i]
		if h.asleep.CompareAndSwap(true, false) {
			h.wake <- struct{}{}
		}
	}
}

// help is the life of a helper.
func (p *pool) help(h *helper) {
	var seen uint64 // number of the last job that it looked at
	news := func() bool { return p.closed.Load() || p.state.Load()/stateJob != seen }
	for {
		if !p.look(news) {
			h.asleep.Store(true)
			// Whoever sees it asleep wakes it; what came before is seen here.
			if !news() || !h.asleep.CompareAndSwap(true, false) {
				<-h.wake
			}
		}
		if p.closed.Load() {
			return
		}
		if state, in := p.enter(); in {
			seen = state / stateJob
			p.work()
			p.leave()
		} else {
			seen = state / stateJob
		}
	}
}

// enter joins the job if it is open.
func (p *pool) enter() (state uint64, in bool) {
	for {
		state = p.state.Load()
		if state&stateOpen == 0 {
			return state, false
		}
		if p.state.CompareAndSwap(state, state+stateMember) {
			return state, true
		}
	}
}

func (p *pool) leave() {
	state := p.state.Add(^uint64(stateMember - 1))
	if state&stateOpen == 0 && members(state) == 0 {
		p.left <- struct{}{}
	}
}
