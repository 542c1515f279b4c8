package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/spotserve/spotserve/platform/config"
)

// flags is a set with a flag of every type that the services use.
type flags struct {
	*pflag.FlagSet
	seed    uint64
	scale   float64
	virtual bool
	store   string
	wait    time.Duration
	nodes   []string
	ports   []int
}

func newFlags() *flags {
	f := &flags{FlagSet: pflag.NewFlagSet("test", pflag.ContinueOnError)}
	f.Uint64Var(&f.seed, "seed", 1, "")
	f.Float64Var(&f.scale, "time-scale", 60, "")
	f.BoolVar(&f.virtual, "virtual", false, "")
	f.StringVar(&f.store, "store", "sqlite:store.db", "")
	f.DurationVar(&f.wait, "reorder-wait", time.Second, "")
	f.StringSliceVar(&f.nodes, "node", nil, "")
	f.IntSliceVar(&f.ports, "port", nil, "")
	f.FlagSet.String("config", "", "")
	f.Bool("help", false, "")
	f.Bool("version", false, "")
	return f
}

func (f *flags) String() string {
	return fmt.Sprintf("%d %g %t %s %s %v %v", f.seed, f.scale, f.virtual, f.store, f.wait, f.nodes, f.ports)
}

const defaults = "1 60 false sqlite:store.db 1s [] []"

func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "spotserve.yaml")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func lookup(env map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		v, ok := env[name]
		return v, ok
	}
}

func TestLoadTakesTheStrongestSource(t *testing.T) {
	tests := []struct {
		name    string
		args    []string
		env     map[string]string
		file    string
		other   []string
		want    string
		sources map[string]string // FILE stands for the path
	}{
		{name: "defaults", want: defaults},
		{
			name: "file over default", file: "seed: 4\ntime-scale: 240\n",
			want:    "4 240 false sqlite:store.db 1s [] []",
			sources: map[string]string{"seed": "FILE:1", "time-scale": "FILE:2"},
		},
		{
			name: "environment over file", file: "seed: 4\ntime-scale: 240\n",
			env:     map[string]string{"SPOTSERVE_TIME_SCALE": "2.5"},
			want:    "4 2.5 false sqlite:store.db 1s [] []",
			sources: map[string]string{"seed": "FILE:1", "time-scale": "environment SPOTSERVE_TIME_SCALE"},
		},
		{
			name: "command line over all", args: []string{"--time-scale=1"}, file: "time-scale: 240\n",
			env:     map[string]string{"SPOTSERVE_TIME_SCALE": "2.5"},
			want:    "1 1 false sqlite:store.db 1s [] []",
			sources: map[string]string{"time-scale": "flag --time-scale"},
		},
		{
			name: "the command line shields from bad weaker values", args: []string{"--seed=9"},
			file: "seed: 7\n", env: map[string]string{"SPOTSERVE_SEED": "x"},
			want: "9 60 false sqlite:store.db 1s [] []",
		},
		{
			name: "all types from a file",
			file: "virtual: true\nstore: 2024\nreorder-wait: 30ms\nnode: [n1, n2]\nport: [80, 443]\ntime-scale: 3\n",
			want: "1 3 true 2024 30ms [n1 n2] [80 443]",
		},
		{
			name: "all types from the environment",
			env: map[string]string{
				"SPOTSERVE_VIRTUAL": "true", "SPOTSERVE_REORDER_WAIT": "1m", "SPOTSERVE_NODE": "n1,n2", "SPOTSERVE_PORT": "80,443",
			},
			want: "1 60 true sqlite:store.db 1m0s [n1 n2] [80 443]",
		},
		{name: "one value for a list", file: "node: n1\n", want: "1 60 false sqlite:store.db 1s [n1] []"},
		{name: "an alias", file: "store: &s a\nnode: [*s, *s]\n", want: "1 60 false a 1s [a a] []"},
		{name: "empty variable is unset", env: map[string]string{"SPOTSERVE_SEED": ""}, want: defaults},
		{name: "help and version are no settings", env: map[string]string{"SPOTSERVE_VERSION": "v1.2", "SPOTSERVE_HELP": "x"}, want: defaults},
		{name: "empty file", file: "# nothing yet\n", want: defaults},
		{name: "null file", file: "---\n", want: defaults},
		{name: "keys of other commands", file: "drain: true\nseed: 2\n", other: []string{"drain"}, want: "2 60 false sqlite:store.db 1s [] []"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fs := newFlags()
			if err := fs.Parse(tt.args); err != nil {
				t.Fatal(err)
			}
			opts := config.Options{EnvPrefix: "SPOTSERVE", OtherKeys: tt.other, LookupEnv: lookup(tt.env)}
			if tt.file != "" {
				opts.File = writeFile(t, tt.file)
			}
			sources, err := config.Load(fs.FlagSet, opts)
			if err != nil {
				t.Fatal(err)
			}
			if got := fs.String(); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			for name, want := range tt.sources {
				want = strings.Replace(want, "FILE", opts.File, 1)
				if got := sources[name].String(); got != want {
					t.Errorf("source of %s: got %q, want %q", name, got, want)
				}
			}
			if got := sources["reorder-wait"].Kind == config.Default; got != (fs.wait == time.Second) {
				t.Errorf("source of reorder-wait: got %v with value %v", sources["reorder-wait"], fs.wait)
			}
		})
	}
}

func TestLoadRefuses(t *testing.T) {
	const allowed = "allowed: node, port, reorder-wait, seed, store, time-scale, virtual"
	tests := []struct {
		name string
		env  map[string]string
		file string
		want []string // FILE stands for the path
	}{
		{"bad variable", map[string]string{"SPOTSERVE_SEED": "abc"}, "",
			[]string{`environment SPOTSERVE_SEED: seed: want a whole number, got "abc": must be a non-negative integer`}},
		{"bad variable is not papered over", map[string]string{"SPOTSERVE_SEED": "-1"}, "seed: 3\n",
			[]string{`environment SPOTSERVE_SEED: seed: want a whole number, got "-1": must be a non-negative integer`}},
		{"unknown key", nil, "seed: 3\ntimescale: 4\n",
			[]string{`FILE:2: unknown key "timescale"; the nearest is "time-scale"; ` + allowed}},
		{"config in config", nil, "config: x.yaml\n",
			[]string{`FILE:1: unknown key "config"; the nearest is "node"; ` + allowed}},
		{"text for a number", nil, "\nseed: abc\n", []string{`FILE:2: seed: want a whole number, got the text "abc"`}},
		{"quoted number", nil, "seed: '3'\n", []string{`FILE:1: seed: want a whole number, got the text "3"`}},
		{"fraction for a whole number", nil, "seed: 1.5\n", []string{`FILE:1: seed: want a whole number, got the number 1.5`}},
		{"out of range", nil, "seed: -3\n", []string{`FILE:1: seed: want a whole number, got "-3": must be a non-negative integer`}},
		{"yes for a bool", nil, "virtual: yes\n", []string{`FILE:1: virtual: want a bool, got the text "yes"`}},
		{"number for a duration", nil, "reorder-wait: 30\n",
			[]string{`FILE:1: reorder-wait: want a duration, got "30": must be a duration like "30s" or "5m"`}},
		{"list for one value", nil, "store: [a]\n", []string{`FILE:1: store: want a string, got a list`}},
		{"map for a value", nil, "store:\n  a: b\n", []string{`FILE:1: store: want a string, got a map`}},
		{"nothing", nil, "store:\n", []string{`FILE:1: store: want a string, got nothing`}},
		{"map in a list", nil, "node:\n- n1\n- a: b\n", []string{`FILE:1: node: want a stringSlice, got a list with a map in it (line 3)`}},
		{"text in a list of numbers", nil, "port: [80, x]\n", []string{`FILE:1: port: want a intSlice, got ["80" "x"]: strconv.Atoi: parsing "x": invalid syntax`}},
		{"twice", nil, "seed: 1\nstore: a\nseed: 2\n", []string{`FILE:3: key "seed" is there twice, first in line 1`}},
		{"two documents", nil, "seed: 1\n---\nseed: 2\n", []string{"FILE:2: a second document; one is allowed"}},
		{"a list", nil, "- seed\n", []string{"FILE:1: want keys and values, got a list"}},
		{"no YAML", nil, "seed: 1\nstore: [a\n", []string{"FILE: not YAML: near line 1: did not find expected ',' or ']'"}},
		{"all at once", map[string]string{"SPOTSERVE_SEED": "x"}, "virtual: 1\nstor: a\n", []string{
			`environment SPOTSERVE_SEED: seed: want a whole number, got "x": must be a non-negative integer`,
			`FILE:1: virtual: want a bool, got the whole number 1`,
			`FILE:2: unknown key "stor"; the nearest is "store"; ` + allowed,
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			opts := config.Options{EnvPrefix: "SPOTSERVE", LookupEnv: lookup(tt.env)}
			if tt.file != "" {
				opts.File = writeFile(t, tt.file)
			}
			_, err := config.Load(newFlags().FlagSet, opts)
			if err == nil {
				t.Fatal("taken")
			}
			got := err.Error()
			if opts.File != "" {
				got = strings.ReplaceAll(got, opts.File, "FILE")
			}
			if want := strings.Join(tt.want, "\n"); got != want {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

func TestLoadFindsTheFile(t *testing.T) {
	path := writeFile(t, "seed: 5\n")
	for name, setup := range map[string]func(*flags, *config.Options){
		"option":      func(_ *flags, o *config.Options) { o.File = path },
		"flag":        func(f *flags, _ *config.Options) { _ = f.Parse([]string{"--config", path}) },
		"environment": func(_ *flags, o *config.Options) { o.LookupEnv = lookup(map[string]string{"X_CONFIG": path}) },
	} {
		t.Run(name, func(t *testing.T) {
			fs, opts := newFlags(), config.Options{EnvPrefix: "X", LookupEnv: lookup(nil)}
			setup(fs, &opts)
			if _, err := config.Load(fs.FlagSet, opts); err != nil || fs.seed != 5 {
				t.Errorf("got seed %d, error %v", fs.seed, err)
			}
		})
	}
	t.Run("missing", func(t *testing.T) {
		_, err := config.Load(newFlags().FlagSet, config.Options{File: "no-such.yaml"})
		if want := "no-such.yaml: cannot read the config file: no such file or directory"; err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	})
}

func FuzzLoadFile(f *testing.F) {
	for _, seed := range []string{"seed: 4\n", "node: [a, b]\n", "a: &a [*a]\n", "? [x]\n: y\n", "<<: {seed: 1}\n", "seed: !!float 1\n", "\"\": 1\n", "seed: !!binary aGk=\n", "{"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		path := writeFile(t, text)
		fs := newFlags()
		sources, err := config.Load(fs.FlagSet, config.Options{File: path, LookupEnv: lookup(nil)})
		if err != nil && !strings.Contains(err.Error(), path) {
			t.Errorf("the error does not name the file: %v", err)
		}
		if err == nil && len(sources) == 0 && fs.String() != defaults {
			t.Errorf("values from nowhere: %s", fs)
		}
	})
}
