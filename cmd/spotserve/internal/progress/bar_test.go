package progress

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestBar: how many are done, and what that says of the rest.
func TestBar(t *testing.T) {
	for _, tt := range []struct {
		done, total int
		passed      time.Duration
		want        string
	}{
		{0, 486, 0, "[" + strings.Repeat(".", 30) + "] 0 of 486 runs done, ? left"},
		{1, 4, 2 * time.Second, "[" + strings.Repeat("#", 7) + strings.Repeat(".", 23) + "] 1 of 4 runs done, 6s left"},
		{3, 4, 90 * time.Second, "[" + strings.Repeat("#", 22) + strings.Repeat(".", 8) + "] 3 of 4 runs done, 30s left"},
		{4, 4, time.Hour, "[" + strings.Repeat("#", 30) + "] 4 of 4 runs done, 0s left"},
	} {
		b := &Bar{done: tt.done, total: tt.total}
		if got := b.text(tt.passed); got != tt.want {
			t.Errorf("the bar is\n%s\nwant\n%s", got, tt.want)
		}
	}
}

// TestBarIsDrawnAtOnce and then now and then, by whoever is done; it leaves
// nothing behind. Nobody needs one.
func TestBarIsDrawnAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		b := NewBar(&out, 64)
		if !strings.Contains(out.String(), "0 of 64") {
			t.Errorf("it begins with %q", out.String())
		}
		time.Sleep(interval)
		for range 63 {
			go b.Done()
		}
		synctest.Wait()
		if n := strings.Count(out.String(), "\r"); n > 3 {
			t.Errorf("64 runs draw it %d times in no time", n)
		}
		time.Sleep(interval)
		b.Done()
		if !strings.HasSuffix(strings.TrimSpace(out.String()), "64 of 64 runs done, 0s left") {
			t.Errorf("it ends with %q", out.String())
		}
		out.Reset()
		b.Clear()
		if text := out.String(); strings.TrimSpace(text) != "" || !strings.HasSuffix(text, "\r") {
			t.Errorf("it clears the bar by %q", text)
		}
	})
	var none *Bar
	none.Done()
	none.Clear()
}
