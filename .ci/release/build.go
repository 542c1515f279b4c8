package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

const modulePath = "github.com/spotserve/spotserve"

// toolchain is the Go that releases are built with, whichever builds this
// program: its standard library is part of what is shipped.
const toolchain = "go1.26.11"

// A program is one binary of a release. Each is built alone (GOWORK=off), by
// the go.mod beside it.
type program struct {
	name   string
	module string // folder of the module
	pkg    string // package as go build takes it there
	does   string // the title of its image
}

var programs = []program{
	{"spotserve", "cmd/spotserve", ".", "the command line, and all services in one process"},
	{"trace-replayer", "services/trace-replayer", "./cmd/trace-replayer", "takes start events and plays the traces of experiments"},
	{"planner", "services/planner", "./cmd/planner", "keeps fleet and queue, picks configurations, plans migrations, assigns batches"},
	{"worker", "services/worker", "./cmd/worker", "keeps the context of a node, runs migrations and inference"},
	{"collector", "services/collector", "./cmd/collector", "writes every fact to SQL"},
	{"plotter", "services/plotter", "./cmd/plotter", "draws the figure of every recorded run"},
}

// platform is what a binary runs on.
type platform struct{ os, arch string }

func parsePlatform(name string) (platform, error) {
	goos, arch, ok := strings.Cut(name, "/")
	if !ok || goos == "" || arch == "" {
		return platform{}, fmt.Errorf("platform %q: want OS/ARCHITECTURE, for example linux/amd64", name)
	}
	return platform{goos, arch}, nil
}

func (p platform) String() string { return p.os + "_" + p.arch }

// binary is a program as it was built for a platform.
type binary struct {
	program
	platform
	file string
}

// build makes all files of a release.
func build(ctx context.Context, repository, commit, folder string, targets []platform, out io.Writer) error {
	work, err := os.MkdirTemp("", "spotserve-release-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }()
	s, err := export(ctx, repository, commit, work)
	if err != nil {
		return err
	}
	if folder, err = anew(folder); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(out, "spotserve %s, commit %s\n", s.version, s.commit)

	var all []binary
	for _, target := range targets {
		built, err := s.compile(ctx, target)
		if err != nil {
			return err
		}
		all = append(all, built...)
		name := filepath.Join(folder, fmt.Sprintf("spotserve_%s_%s", s.bare(), target))
		if err := s.archive(name+".tar.gz", built); err != nil {
			return err
		}
		if err := s.bill(name+".cdx.json", "spotserve", built); err != nil {
			return err
		}
	}
	for _, p := range programs {
		same := slices.DeleteFunc(slices.Clone(all), func(b binary) bool { return b.name != p.name || b.os != "linux" })
		if len(same) == 0 {
			continue // images are for linux
		}
		if err := s.image(filepath.Join(folder, fmt.Sprintf("spotserve_%s_%s_image.tar", s.bare(), p.name)), same); err != nil {
			return err
		}
	}
	return checksums(folder, out)
}

// compile builds every program for a platform. Only the files of the commit
// decide about the bytes: what the environment could change is set here.
func (s source) compile(ctx context.Context, target platform) ([]binary, error) {
	stamp := fmt.Sprintf("-s -w -buildid= -X %[1]s/platform/version.release=%[2]s -X %[1]s/platform/version.commit=%[3]s", modulePath, s.version, s.commit)
	var built []binary
	for _, p := range programs {
		file := filepath.Join(s.dir, "bin", target.String(), p.name)
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-mod=readonly", "-ldflags="+stamp, "-o", file, p.pkg)
		cmd.Dir = filepath.Join(s.dir, filepath.FromSlash(p.module))
		cmd.Env = append(os.Environ(),
			"GOOS="+target.os, "GOARCH="+target.arch, "GOAMD64=v1", "GOARM64=v8.0", "CGO_ENABLED=0",
			"GOWORK=off", "GOTOOLCHAIN="+toolchain, "GOFLAGS=", "GOEXPERIMENT=", "GOFIPS140=off", "GODEBUG=")
		if _, err := output(cmd); err != nil {
			return nil, err
		}
		built = append(built, binary{p, target, file})
	}
	return built, nil
}
