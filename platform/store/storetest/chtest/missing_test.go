package chtest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// verdict records how a test would have ended.
type verdict struct {
	testing.TB
	said string
}

func (v *verdict) Helper() {}

func (v *verdict) Fatalf(format string, args ...any) { v.end("failed: "+format, args) }
func (v *verdict) Skipf(format string, args ...any)  { v.end("skipped: "+format, args) }

func (v *verdict) end(format string, args []any) {
	if v.said == "" {
		v.said = fmt.Sprintf(format, args...)
	}
}

func TestMissingServer(t *testing.T) {
	for require, want := range map[string]string{"1": "failed: ", "": "skipped: ", "0": "skipped: "} {
		t.Setenv(RequireEnv, require)
		v := &verdict{TB: t}
		failOrSkip(v, errors.New("no server here"))
		if !strings.HasPrefix(v.said, want) || !strings.Contains(v.said, "no server here") {
			t.Errorf("%s=%q: %q, want %q and the reason", RequireEnv, require, v.said, want)
		}
	}
}
