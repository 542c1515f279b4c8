package serve

import (
	"math"

	"github.com/spotserve/spotserve/core/vtime"
)

// Bucket is a token bucket: something may happen so often a second in the long run,
// and so often at once. It is the generic cell rate algorithm, which keeps one
// instant: when the bucket would be full again. The zero value lets everything
// through.
type Bucket struct {
	PerSecond float64
	Burst     int
	due       vtime.Time
}

// Take reports whether it may happen now, and takes a token if so. The clock may
// not run back.
func (b *Bucket) Take(now vtime.Time) bool {
	if b.PerSecond <= 0 {
		return true
	}
	every := vtime.Time(math.Ceil(1e9 / b.PerSecond))
	if b.due > now+every*vtime.Time(b.Burst-1) {
		return false
	}
	b.due = max(b.due, now) + every
	return true
}
