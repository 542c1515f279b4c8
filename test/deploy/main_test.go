//go:build unix

// Package deploy holds the files of deploy/ to what they are for: the tools that
// read them accept them, and what they name, flags, ports, keys, files, is there.
package deploy

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/spotserve/spotserve/test/internal/program"
)

var programs program.Folder

func TestMain(m *testing.M) {
	os.Exit(programs.Main(m))
}

const (
	repository = program.Repository
	folder     = repository + "/deploy"
)

// services are the programs that are deployed.
var services = []string{"trace-replayer", "planner", "collector", "plotter", "worker"}

var (
	flagOfHelp = regexp.MustCompile(`(?m)^ +(?:-\w, )?--([a-z][a-z-]*)`)
	helpMu     sync.Mutex
	helps      = map[string]map[string]bool{}
)

// flags are the flags that a service's own --help lists.
func flags(t *testing.T, service string) map[string]bool {
	t.Helper()
	helpMu.Lock()
	defer helpMu.Unlock()
	if helps[service] == nil {
		file := programs.Service(t, service)
		exit := program.Run(t, t.TempDir(), nil, file, "--help")
		set := map[string]bool{}
		for _, m := range flagOfHelp.FindAllStringSubmatch(exit.Stdout+exit.Stderr, -1) {
			set[m[1]] = true
		}
		if len(set) < 5 {
			t.Fatalf("%s --help lists %d flags:\n%s%s", service, len(set), exit.Stdout, exit.Stderr)
		}
		helps[service] = set
	}
	return helps[service]
}

// checkArgs reports arguments that are no flags of the service, and variables of
// the environment that set none.
func checkArgs(t *testing.T, at, service string, args []string, environment map[string]string) {
	t.Helper()
	known := flags(t, service)
	for i, arg := range args {
		name, ok := strings.CutPrefix(arg, "--")
		if !ok {
			if i == 0 || !strings.HasPrefix(args[i-1], "--") || strings.Contains(args[i-1], "=") {
				t.Errorf("%s: argument %q: %s has flags only", at, arg, service)
			}
			continue
		}
		if name, _, _ = strings.Cut(name, "="); !known[name] {
			t.Errorf("%s: %s has no flag --%s", at, service, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(environment)) {
		if key, ok := strings.CutPrefix(name, "SPOTSERVE_"); ok && !known[flagOf(key)] {
			t.Errorf("%s: %s sets no flag of %s", at, name, service)
		}
	}
}

// flagOf is the flag that a variable sets, named without its prefix.
func flagOf(key string) string { return strings.ToLower(strings.ReplaceAll(key, "_", "-")) }

// read returns a file of deploy/.
func read(t *testing.T, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(append([]string{folder}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// environmentFile reads a file of NAME=VALUE lines as systemd does.
func environmentFile(t *testing.T, path ...string) map[string]string {
	t.Helper()
	set := map[string]string{}
	for line := range strings.Lines(read(t, path...)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok {
			t.Errorf("%s: %q: want NAME=VALUE", filepath.Join(path...), line)
		}
		set[name] = value
	}
	return set
}

var variable = regexp.MustCompile(`\$(NATS_[A-Z_]+)`)

// natsVariables are the variables of the environment that configurations of
// NATS take, by file of deploy/nats.
func natsVariables(t *testing.T, files ...string) []string {
	t.Helper()
	var names []string
	for _, file := range files {
		for _, m := range variable.FindAllStringSubmatch(read(t, "nats", file), -1) {
			names = append(names, m[1])
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// checkVariables reports variables that a NATS server needs and is not given,
// and the reverse.
func checkVariables(t *testing.T, at string, environment map[string]string, files ...string) {
	t.Helper()
	want := natsVariables(t, files...)
	for _, name := range want {
		if environment[name] == "" {
			t.Errorf("%s: %v take %s, which is not set", at, files, name)
		}
	}
	for name := range environment {
		if strings.HasPrefix(name, "NATS_") && !slices.Contains(want, name) {
			t.Errorf("%s: nobody reads %s", at, name)
		}
	}
}

// TestEnvironmentFiles: what a site sets for all services, some service takes.
func TestEnvironmentFiles(t *testing.T) {
	t.Parallel()
	for name := range environmentFile(t, "spotserve.env") {
		for _, s := range services {
			if !flags(t, s)[flagOf(strings.TrimPrefix(name, "SPOTSERVE_"))] {
				t.Errorf("spotserve.env: %s sets no flag of %s", name, s)
			}
		}
	}
	checkVariables(t, "nats.env", environmentFile(t, "nats", "nats.env"), "common.conf", "nats-server.conf")
}
