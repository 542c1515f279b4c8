// Package version says which build a program is.
package version

import (
	"runtime"
	"runtime/debug"
	"strings"
)

// What the linker sets in a release (-X).
var (
	release string // v1.2.3, or v0.0.0-TIME-COMMIT between two releases
	commit  string // in full
)

// Build identifies a build of this repository.
type Build struct {
	Version string // v1.2.3, v0.0.0-TIME-COMMIT, or (devel) for a build by hand
	Commit  string // the first twelve characters, and " modified" for one that was changed; empty if not known
	Go      string // go1.26.0
}

// Of is the build of this program.
func Of() Build {
	if release != "" {
		return Build{Version: release, Commit: short(commit), Go: runtime.Version()}
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return Build{Version: "(devel)", Go: runtime.Version()}
	}
	return of(info)
}

// of reads what the go command knows of a build.
func of(info *debug.BuildInfo) Build {
	b := Build{Version: info.Main.Version, Go: info.GoVersion}
	modified := false
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = short(s.Value)
		case "vcs.modified":
			modified = s.Value == "true"
		}
	}
	if modified && b.Commit != "" {
		b.Commit += " modified"
	}
	return b
}

func short(commit string) string { return commit[:min(12, len(commit))] }

// String is "v1.2.3 0123456789ab go1.26.0".
func (b Build) String() string {
	return strings.Join(strings.Fields(b.Version+" "+b.Commit+" "+b.Go), " ")
}
