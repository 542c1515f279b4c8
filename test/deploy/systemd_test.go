//go:build linux

package deploy

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/test/internal/program"
)

// instances are the units as they are started.
var instances = map[string]string{ // unit: its program
	"spotserve-nats.service":           "nats-server",
	"spotserve-trace-replayer.service": "trace-replayer",
	"spotserve-planner.service":        "planner",
	"spotserve-collector.service":      "collector",
	"spotserve-plotter.service":        "plotter",
	"spotserve-worker@node-0.service":  "worker",
}

// mostExposure is what `systemd-analyze security` may say of a unit, in tenths;
// 100 is a unit without any protection.
const mostExposure = "15"

// systemRoot is a file system with the units, the programs that they start, and
// the host's own units.
func systemRoot(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	units := filepath.Join(root, "etc", "systemd", "system")
	if err := os.CopyFS(units, os.DirFS(filepath.Join(folder, "systemd"))); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(root, "usr", "lib", "systemd", "system"), plain("/usr/lib/systemd/system")); err != nil {
		t.Fatal(err)
	}
	for _, p := range append(slices.Collect(maps.Values(instances)), "kill") {
		file := filepath.Join(root, "opt", "spotserve", "bin", p)
		if p == "kill" {
			file = filepath.Join(root, "bin", p)
		}
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// plain is a folder without its links, which lead out of it.
func plain(dir string) fs.FS { return withoutLinks{os.DirFS(dir)} }

type withoutLinks struct{ fs.FS }

func (w withoutLinks) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(w.FS, name)
	return slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return e.Type()&fs.ModeSymlink != 0 }), err
}

func TestUnits(t *testing.T) {
	t.Parallel()
	analyze := program.Installed(t, "systemd-analyze", "apt-get install systemd")
	root := systemRoot(t)
	for unit, name := range instances {
		exit := program.Run(t, root, nil, analyze, "verify", "--man=no", "--root="+root, unit)
		if exit.Code != 0 || exit.Stdout+exit.Stderr != "" {
			t.Errorf("systemd-analyze verify %s: exit code %d\n%s%s", unit, exit.Code, exit.Stdout, exit.Stderr)
		}
		exit = program.Run(t, root, nil, analyze, "security", "--no-pager", "--offline=true", "--threshold="+mostExposure, "--root="+root, unit)
		if exit.Code != 0 {
			t.Errorf("systemd-analyze security %s: more exposed than %s tenths\n%s%s", unit, mostExposure, exit.Stdout, exit.Stderr)
		}
		if !strings.Contains(exit.Stdout, "SystemCallFilter=") {
			t.Errorf("systemd-analyze security %s says nothing of system calls:\n%s", unit, exit.Stdout)
		}
		checkUnit(t, unit, name)
	}
	t.Run("objects", func(t *testing.T) {
		file := filepath.Join(root, "etc", "systemd", "system", "spotserve-planner.service")
		if err := os.WriteFile(file, []byte("[Service]\nExecStart=/opt/spotserve/bin/gone\nRestrat=no\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if exit := program.Run(t, root, nil, analyze, "verify", "--man=no", "--root="+root, "spotserve-planner.service"); exit.Code == 0 || !strings.Contains(exit.Stderr, "Restrat") {
			t.Errorf("systemd-analyze verify takes a broken unit: %s", exit.Stderr)
		}
	})
}

// checkUnit holds a unit to its program: its flags, the variables that set them,
// its settings and its credentials.
func checkUnit(t *testing.T, unit, name string) {
	t.Helper()
	file := unit
	if at := strings.Index(unit, "@"); at >= 0 {
		file = unit[:at+1] + ".service"
	}
	var args []string
	environment := map[string]string{}
	loaded := map[string]string{}
	for line := range strings.Lines(read(t, "systemd", file)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch key {
		case "ExecStart":
			args = strings.Fields(value)
		case "Environment":
			for set := range strings.FieldsSeq(value) {
				k, v, _ := strings.Cut(set, "=")
				environment[k] = v
			}
		case "LoadCredential":
			id, path, _ := strings.Cut(value, ":")
			loaded[id] = path
		}
	}
	if len(args) == 0 || args[0] != "/opt/spotserve/bin/"+name {
		t.Errorf("%s: starts %q, want %s", unit, args, name)
		return
	}
	if name == "nats-server" {
		if conf := args[len(args)-1]; read(t, "nats", conf) == "" {
			t.Errorf("%s: no configuration %s", unit, conf)
		}
		return
	}
	checkArgs(t, unit, name, args[1:], environment)
	if want := "/etc/spotserve/" + name + ".yaml"; args[1] != "--config" || args[2] != want {
		t.Errorf("%s: settings %q, want --config %s", unit, args[1:3], want)
	}
	read(t, name+".yaml")
	role := name
	if role == "worker" {
		role = "worker-%i"
	}
	for id, path := range loaded {
		if want := "/etc/spotserve/keys/" + role + "/" + id; path != want {
			t.Errorf("%s: credential %s is %s, want %s", unit, id, path, want)
		}
		if !slices.Contains(slices.Collect(maps.Values(environment)), "%d/"+id) {
			t.Errorf("%s: credential %s is loaded and not used", unit, id)
		}
	}
	for _, v := range environment {
		if id, ok := strings.CutPrefix(v, "%d/"); !ok || loaded[id] == "" {
			t.Errorf("%s: %s is no credential that is loaded", unit, v)
		}
	}
}
