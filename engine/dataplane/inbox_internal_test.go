package dataplane

import (
	"runtime"
	"testing"
)

// TestWhatWaitsIsCounted: however small or odd the messages are that nobody takes,
// the limit is about what they take of the heap.
func TestWhatWaitsIsCounted(t *testing.T) {
	const limit = 32 << 20
	for _, tag := range []Tag{Work, Answer} {
		for _, rows := range []int{0, 65, 1<<14 + 1} {
			b := newInbox(limit)
			before := heapInUse()
			for n := 0; b.take(cost(4*rows)) == nil; n++ {
				h := stepHead{step: Step{Number: uint64(n)}, tag: tag, number: uint32(n)}
				b.deliver(0, newMessage(Peer{Node: "n"}, h, rows))
			}
			if grown := heapInUse() - before; grown > limit+limit/4 {
				t.Errorf("tag %d with %d rows: %d bytes are in use, allowed are %d", tag, rows, grown, limit)
			}
			b.end(ErrClosed)
			if b.bytes != 0 {
				t.Errorf("tag %d with %d rows: %d bytes are counted of nothing", tag, rows, b.bytes)
			}
		}
	}
}

func heapInUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
