// Package open makes notice sources of the worker's flags.
package open

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spotserve/spotserve/platform/notice"
	"github.com/spotserve/spotserve/platform/notice/local"
	"github.com/spotserve/spotserve/platform/notice/metadata"
)

// Allowed says what names a source.
const Allowed = "aws, gcp, azure, file:PATH and http:HOST:PORT"

// Options are the settings of all sources.
type Options struct {
	Names []string // as in Allowed
	// URL replaces the clouds' own addresses; empty: theirs.
	URL string
	// Poll is the time between two looks; 0: each source's own.
	Poll time.Duration
	// Grace is what gcp leaves after it has said that the instance goes; 0: 30 s.
	Grace time.Duration
}

// Sources returns the sources that the options name, for notices about instance.
// Hooks listen at once, for as long as the process lives.
func Sources(ctx context.Context, o Options, instance string, log *slog.Logger) (out []notice.Source, err error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	cloud := metadata.Options{Instance: instance, BaseURL: o.URL, Poll: o.Poll, Log: log}
	here := local.Options{Instance: instance, Log: log}
	for _, name := range o.Names {
		kind, rest, _ := strings.Cut(name, ":")
		var s notice.Source
		switch {
		case name == "aws":
			s = metadata.AWS(cloud)
		case name == "gcp":
			s = metadata.GCP(cloud, o.Grace)
		case name == "azure":
			s = metadata.Azure(cloud)
		case kind == "file" && rest != "":
			s = local.File(rest, o.Poll, here)
		case kind == "http" && rest != "":
			if s, err = local.Hook(ctx, rest, here); err != nil {
				return nil, fmt.Errorf("notice source %q: %w", name, err)
			}
		default:
			return nil, fmt.Errorf("notice source %q: allowed are %s", name, Allowed)
		}
		out = append(out, s)
	}
	return out, nil
}

func (o Options) check() error {
	for i, name := range o.Names {
		if slices.Contains(o.Names[:i], name) {
			return fmt.Errorf("notice source %q is there twice", name)
		}
	}
	if o.Poll < 0 || o.Grace < 0 {
		return fmt.Errorf("notice poll %s and grace %s: want durations above 0", o.Poll, o.Grace)
	}
	if o.URL == "" {
		return nil
	}
	if !slices.ContainsFunc(o.Names, func(name string) bool { return name == "aws" || name == "gcp" || name == "azure" }) {
		return errors.New("a notice URL needs one of the sources aws, gcp and azure")
	}
	if u, err := url.Parse(o.URL); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("notice URL %q: want http://host[:port][/path]", o.URL)
	}
	return nil
}
