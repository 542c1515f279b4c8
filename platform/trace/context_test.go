package trace_test

import (
	"strings"
	"testing"

	"github.com/spotserve/spotserve/platform/trace"
)

const good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func TestParse(t *testing.T) {
	for _, text := range []string{good, strings.TrimSuffix(good, "01") + "00"} {
		if c, ok := trace.Parse(text); !ok || c.String() != text {
			t.Errorf("%s is read as %s, %t", text, c, ok)
		}
	}
	// A later version may have more flags and more parts.
	if c, ok := trace.Parse("cc" + strings.TrimSuffix(good[2:], "01") + "ff-what-comes"); !ok || c.String() != good {
		t.Errorf("a later version is read as %s, %t", c, ok)
	}
	for _, text := range []string{
		"", "00", good + "-x", good + "0", "ff" + good[2:], strings.ToUpper(good), good[:len(good)-1], "0g" + good[2:],
		strings.Replace(good, "-", "_", 1), "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", strings.Repeat("-", 55), strings.Repeat("é", 40),
	} {
		if c, ok := trace.Parse(text); ok {
			t.Errorf("%q is read as %s", text, c)
		}
	}
}

// FuzzParse: whatever comes, what is read names a span, and is read again alike.
func FuzzParse(f *testing.F) {
	f.Add(good)
	f.Add("01" + good[2:] + "-more")
	f.Fuzz(func(t *testing.T, text string) {
		c, ok := trace.Parse(text)
		if !ok {
			return
		}
		if again, ok := trace.Parse(c.String()); !ok || again != c || !c.Trace.IsValid() || !c.Span.IsValid() {
			t.Errorf("%q is read as %s, and again as %s", text, c, again)
		}
	})
}
