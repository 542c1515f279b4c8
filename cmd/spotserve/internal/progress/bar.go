package progress

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// Bar shows on a terminal how far a set of runs is, and when it may be done.
// It is safe for concurrent use; a nil Bar shows nothing.
type Bar struct {
	line  *Line
	total int
	began time.Time

	mu   sync.Mutex
	done int
}

// NewBar shows total runs to come on w, which has to be a terminal.
func NewBar(w io.Writer, total int) *Bar {
	b := &Bar{line: NewLine(w), total: total, began: time.Now()}
	b.line.print(b.text(0))
	return b
}

// Done counts one run more.
func (b *Bar) Done() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.done++
	b.line.show(func() string { return b.text(time.Since(b.began)) })
}

// Clear removes the bar.
func (b *Bar) Clear() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.line.Clear()
}

// barWidth is the length of the bar in characters.
const barWidth = 30

// text is the bar after a while.
func (b *Bar) text(passed time.Duration) string {
	full := barWidth * b.done / max(1, b.total)
	return fmt.Sprintf("[%s%s] %d of %d runs done, %s left",
		strings.Repeat("#", full), strings.Repeat(".", barWidth-full), b.done, b.total, Left(b.done, b.total, passed))
}

// Left estimates the time until all runs are done, as text. It takes those to
// come to be as long as those that are done.
func Left(done, total int, passed time.Duration) string {
	if done == 0 {
		return "?"
	}
	return (passed / time.Duration(done) * time.Duration(total-done)).Round(time.Second).String()
}
