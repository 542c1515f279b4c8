package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

// source is what a release is made from: a commit, never a working tree.
type source struct {
	dir     string // the files of the commit, and nothing else
	commit  string // in full
	version string // v1.2.3 where the commit has that tag, else a pseudo-version of Go
	time    time.Time
}

// image tags and file names have the version without its v.
func (s source) bare() string { return strings.TrimPrefix(s.version, "v") }

// export writes the files of a commit below dir.
func export(ctx context.Context, repository, commit, dir string) (source, error) {
	git := func(args ...string) (string, error) {
		out, err := command(ctx, repository, nil, "git", args...)
		return strings.TrimSpace(string(out)), err
	}
	hash, err := git("rev-parse", "--verify", "--end-of-options", commit+"^{commit}")
	if err != nil {
		return source{}, err
	}
	stamp, err := git("show", "-s", "--format=%ct", hash)
	if err != nil {
		return source{}, err
	}
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		return source{}, fmt.Errorf("commit time of %s: %w", hash, err)
	}
	s := source{dir: dir, commit: hash, time: time.Unix(seconds, 0).UTC()}

	// Without a tag git describe fails, and then this is before the first release.
	tag, tagged := "", false
	if described, err := git("describe", "--tags", "--long", "--match", "v[0-9]*", hash); err == nil {
		parts := strings.Split(described, "-") // TAG-COMMITS-gHASH
		tag = strings.Join(parts[:len(parts)-2], "-")
		tagged = parts[len(parts)-2] == "0"
	}
	if s.version, err = versionOf(tag, tagged, s.time, hash); err != nil {
		return source{}, err
	}

	files, err := command(ctx, repository, nil, "git", "archive", "--format=tar", hash)
	if err != nil {
		return source{}, err
	}
	_, err = command(ctx, dir, bytes.NewReader(files), "tar", "-x", "-f", "-")
	return s, err
}

// versionOf is the tag of a commit that has one, else the pseudo-version that
// Go would give it after the tag before.
func versionOf(tag string, tagged bool, at time.Time, hash string) (string, error) {
	if tag != "" && semver.Canonical(tag) != tag {
		return "", fmt.Errorf("tag %s: want vMAJOR.MINOR.PATCH", tag)
	}
	if tagged {
		return tag, nil
	}
	return module.PseudoVersion(semver.Major(tag), tag, at, hash[:12]), nil
}

// command runs a program in dir and returns what it prints.
func command(ctx context.Context, dir string, stdin *bytes.Reader, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	if stdin != nil {
		cmd.Stdin = stdin
	}
	return output(cmd)
}

// output is what the command prints; an error has what it complained of.
func output(cmd *exec.Cmd) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return stdout.Bytes(), nil
}

// anew makes a folder that has nothing in it. What it removes is an earlier
// release; a folder with anything else is somebody's, and is refused.
func anew(dir string) (string, error) {
	full, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	files, err := os.ReadDir(full)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	for _, f := range files {
		if !f.Type().IsRegular() || f.Name() != sums && !strings.HasPrefix(f.Name(), "spotserve_") {
			return "", fmt.Errorf("%s has %s, which is no file of a release: name another folder, or empty it", full, f.Name())
		}
	}
	for _, f := range files {
		if err := os.Remove(filepath.Join(full, f.Name())); err != nil {
			return "", err
		}
	}
	return full, os.MkdirAll(full, 0o755) //nolint:gosec // what is released is for everyone
}
