// Command release makes the files of a release from a commit: an archive of
// programs for each platform, a bill of materials for each archive, an image
// for each program, and their checksums. The same commit gives the same bytes,
// whoever builds, where and when.
//
//	release [--commit HEAD] [--out dist]
//	release push [--insecure] REGISTRY/PREFIX dist/*_image.tar
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		_, _ = fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1) //nolint:gocritic // a process that ends needs no stop
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) > 0 && args[0] == "push" {
		return runPush(ctx, args[1:], out)
	}
	fs := flag.NewFlagSet("release", flag.ContinueOnError)
	repository := fs.String("repository", ".", "folder of the git repository")
	commit := fs.String("commit", "HEAD", "what to release; changes that are not committed are not in it")
	folder := fs.String("out", "dist", "folder for the files, made anew")
	names := fs.String("platforms", "linux/amd64,linux/arm64,darwin/arm64", "what to build for; images are made of those for linux")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	var targets []platform
	for name := range strings.SplitSeq(*names, ",") {
		p, err := parsePlatform(name)
		if err != nil {
			return err
		}
		targets = append(targets, p)
	}
	return build(ctx, *repository, *commit, *folder, targets, out)
}

func runPush(ctx context.Context, args []string, out io.Writer) error {
	fs := flag.NewFlagSet("release push", flag.ContinueOnError)
	insecure := fs.Bool("insecure", false, "speak HTTP with the registry")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if fs.NArg() < 2 {
		return errors.New("want release push [--insecure] REGISTRY/PREFIX FILE_image.tar, any number")
	}
	return push(ctx, fs.Arg(0), *insecure, fs.Args()[1:], out)
}
