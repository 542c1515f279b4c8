package version

import (
	"runtime"
	"runtime/debug"
	"testing"
)

const revision = "0123456789abcdef0123456789abcdef01234567"

func TestRelease(t *testing.T) {
	defer func() { release, commit = "", "" }()
	release, commit = "v1.2.3", revision
	if got, want := Of().String(), "v1.2.3 0123456789ab "+runtime.Version(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestBuildByHand(t *testing.T) {
	setting := func(key, value string) debug.BuildSetting { return debug.BuildSetting{Key: key, Value: value} }
	for _, c := range []struct {
		name     string
		settings []debug.BuildSetting
		want     string
	}{
		{"no repository", nil, "(devel) go1.26.0"},
		{"a commit", []debug.BuildSetting{setting("vcs.revision", revision), setting("vcs.modified", "false")}, "(devel) 0123456789ab go1.26.0"},
		{"changed", []debug.BuildSetting{setting("vcs.modified", "true"), setting("vcs.revision", revision)}, "(devel) 0123456789ab modified go1.26.0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			info := &debug.BuildInfo{GoVersion: "go1.26.0", Settings: c.settings}
			info.Main.Version = "(devel)"
			if got := of(info).String(); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
