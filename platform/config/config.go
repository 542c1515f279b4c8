// Package config fills the flags of a command from the environment and from a
// file: the command line wins over the environment, that over the file, that
// over the flag's default.
//
// It is strict. A value that does not fit its flag, a key in the file that is
// no flag, and a key that is there twice are errors, all of them reported at
// once, each with the place it came from.
package config

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"
)

// FileFlag is the flag that names the config file, where a command has it.
const FileFlag = "config"

// Options say where values come from besides the command line.
type Options struct {
	// EnvPrefix starts the name of every environment variable: with
	// "SPOTSERVE", the flag time-scale reads SPOTSERVE_TIME_SCALE. Empty: no
	// value comes from the environment.
	EnvPrefix string
	// File is the path of the YAML file, whose keys are the names of flags.
	// Empty: the value of the flag FileFlag, if there is one; if that is empty
	// too, no value comes from a file.
	File string
	// OtherKeys are flags of other commands that share the file. Their keys are
	// skipped, not refused.
	OtherKeys []string
	// LookupEnv reads the environment; nil means os.LookupEnv.
	LookupEnv func(name string) (string, bool)
}

// Load sets every flag of fs that the command line, already parsed, did not
// set. A variable that is empty counts as unset. The flags help and version are
// left to the command line.
//
// The error joins one *ValueError for every value that cannot be taken.
func Load(fs *pflag.FlagSet, o Options) (Sources, error) {
	l := loader{fs: fs, opts: o, sources: Sources{}}
	if l.opts.LookupEnv == nil {
		l.opts.LookupEnv = os.LookupEnv
	}
	fs.VisitAll(func(f *pflag.Flag) {
		if f.Changed {
			l.sources[f.Name] = Source{Kind: CommandLine, Name: "--" + f.Name}
		}
	})
	fs.VisitAll(l.fromEnv)
	l.fromFile(l.path())
	return l.sources, errors.Join(l.errs...)
}

type loader struct {
	fs      *pflag.FlagSet
	opts    Options
	sources Sources
	errs    []error
}

// fixed reports whether the flag has a value from a stronger source, or takes
// none from elsewhere.
func (l *loader) fixed(flag string) bool {
	_, set := l.sources[flag]
	return set || flag == "help" || flag == "version"
}

func (l *loader) fromEnv(f *pflag.Flag) {
	if l.opts.EnvPrefix == "" || l.fixed(f.Name) {
		return
	}
	name := EnvName(l.opts.EnvPrefix, f.Name)
	value, _ := l.opts.LookupEnv(name)
	if value == "" {
		return
	}
	l.set(f, Source{Kind: Environment, Name: name}, func() error { return l.fs.Set(f.Name, value) })
}

// set records the source also when the value is refused, so that a weaker
// source does not paper over it.
func (l *loader) set(f *pflag.Flag, from Source, set func() error) {
	l.sources[f.Name] = from
	if err := set(); err != nil {
		l.fail(from, fmt.Errorf("%s: want a %s, got %w", f.Name, typeName(f), plain(err)))
	}
}

// plain takes out of a flag's error what it says about the command line.
func plain(err error) error {
	invalid, ok := errors.AsType[*pflag.InvalidValueError](err)
	if !ok {
		return err
	}
	return fmt.Errorf("%q: %w", invalid.GetValue(), invalid.Unwrap())
}

func (l *loader) fail(from Source, err error) {
	l.errs = append(l.errs, &ValueError{Source: from, Err: err})
}

func (l *loader) path() string {
	if l.opts.File != "" {
		return l.opts.File
	}
	if f := l.fs.Lookup(FileFlag); f != nil {
		return f.Value.String()
	}
	return ""
}

// EnvName is the variable that the flag reads: PREFIX_TIME_SCALE for time-scale.
func EnvName(prefix, flag string) string {
	return prefix + "_" + strings.ToUpper(strings.NewReplacer("-", "_", ".", "_").Replace(flag))
}

// typeName is the type of the flag as a user knows it.
func typeName(f *pflag.Flag) string {
	t := f.Value.Type()
	switch {
	case strings.HasPrefix(t, "int"), strings.HasPrefix(t, "uint"), t == "count":
		if !strings.HasSuffix(t, "Slice") {
			return "whole number"
		}
	case strings.HasPrefix(t, "float") && !strings.HasSuffix(t, "Slice"):
		return "number"
	}
	return t
}
