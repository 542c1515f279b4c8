package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// push copies images to PREFIX/PROGRAM:VERSION, with what refers to them. It
// authenticates by the files that docker login writes.
func push(ctx context.Context, prefix string, insecure bool, files []string, out io.Writer) error {
	options := []remote.Option{remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain)}
	var strict []name.Option
	if insecure {
		strict = append(strict, name.Insecure)
	}
	for _, file := range files {
		if err := pushFile(ctx, prefix, file, strict, options, out); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	return nil
}

func pushFile(ctx context.Context, prefix, file string, strict []name.Option, options []remote.Option, out io.Writer) error {
	full, err := filepath.Abs(file)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "spotserve-push-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if _, err := command(ctx, dir, nil, "tar", "-x", "-f", full); err != nil {
		return err
	}
	return pushLayout(prefix, dir, strict, options, out)
}

func pushLayout(prefix, dir string, strict []name.Option, options []remote.Option, out io.Writer) error {
	all, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return err
	}
	manifest, err := all.IndexManifest()
	if err != nil {
		return err
	}
	if len(manifest.Manifests) == 0 || manifest.Manifests[0].Annotations[refName] == "" {
		return errors.New("no image of a release: its index.json names no version")
	}
	first := manifest.Manifests[0]
	repository, err := name.NewRepository(path.Join(prefix, first.Annotations["org.opencontainers.image.title"]), strict...)
	if err != nil {
		return err
	}
	tag := repository.Tag(first.Annotations[refName])
	index, err := all.ImageIndex(first.Digest)
	if err != nil {
		return err
	}
	if err := remote.WriteIndex(tag, index, options...); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(out, "%s@%s\n", tag, first.Digest)
	return pushReferrers(repository, all, manifest.Manifests[1:], options)
}

func pushReferrers(repository name.Repository, all v1.ImageIndex, referrers []v1.Descriptor, options []remote.Option) error {
	for _, d := range referrers {
		img, err := all.Image(d.Digest)
		if err != nil {
			return err
		}
		if err := remote.Write(repository.Digest(d.Digest.String()), img, options...); err != nil {
			return err
		}
	}
	return nil
}
