package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/CycloneDX/cyclonedx-go"
)

// dist is a release of the last commit, made once for all tests.
var dist, head string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	var err error
	if dist, err = os.MkdirTemp("", "spotserve-dist-"); err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dist) }()
	ctx := context.Background()
	hash, err := command(ctx, ".", nil, "git", "rev-parse", "HEAD")
	if err != nil {
		panic(err)
	}
	head = strings.TrimSpace(string(hash))
	if err := run(ctx, []string{"--repository", "../..", "--commit", head, "--out", dist, "--platforms", platforms}, io.Discard); err != nil {
		panic(err)
	}
	return m.Run()
}

// platforms is one, all of whose programs a usual machine of CI can run;
// TestOtherPlatforms has another.
const platforms = "linux/amd64"

// A second build, of a copy of the repository in another folder, by somebody
// else's settings, later, makes the same files.
func TestReproducible(t *testing.T) {
	clone, again := filepath.Join(t.TempDir(), "copy"), t.TempDir()
	if _, err := command(t.Context(), ".", nil, "git", "clone", "-q", "--shared", "../..", clone); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", t.TempDir())
	t.Setenv("TZ", "Asia/Kathmandu")
	t.Setenv("LC_ALL", "tr_TR.UTF-8")
	t.Setenv("GOFLAGS", "-buildvcs=true -tags=other")
	t.Setenv("GOAMD64", "v3")
	t.Setenv("GOWORK", filepath.Join(clone, "go.work"))
	if err := run(t.Context(), []string{"--repository", clone, "--commit", head, "--out", again, "--platforms", platforms}, io.Discard); err != nil {
		t.Fatal(err)
	}
	first, second := read(t, filepath.Join(dist, "SHA256SUMS")), read(t, filepath.Join(again, "SHA256SUMS"))
	if first != second {
		t.Errorf("two builds differ:\n%s\n%s", first, second)
	}
	if want := 2 + len(programs); strings.Count(first, "\n") != want {
		t.Errorf("want %d files:\n%s", want, first)
	}
}

func TestChecksums(t *testing.T) {
	for line := range strings.Lines(read(t, filepath.Join(dist, "SHA256SUMS"))) {
		sum, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		if got, err := digest(filepath.Join(dist, name)); err != nil || got != sum {
			t.Errorf("%s: %s, %v; want %s", name, got, err, sum)
		}
	}
}

func TestArchive(t *testing.T) {
	s := commitOf(t)
	f, err := os.Open(only(t, "*_linux_amd64.tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	dir, programsLeft := t.TempDir(), len(programs)
	has := map[string]bool{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Uid != 0 || h.Gid != 0 || h.Uname != "" || !h.ModTime.Equal(s.time) {
			t.Errorf("%s: owner %d:%d %q, time %s", h.Name, h.Uid, h.Gid, h.Uname, h.ModTime)
		}
		if h.Mode != anyone && h.Mode != executable && h.Typeflag != tar.TypeSymlink {
			t.Errorf("%s: mode %o", h.Name, h.Mode)
		}
		_, rest, _ := strings.Cut(h.Name, "/")
		has[rest] = true
		if name, ok := strings.CutPrefix(rest, "bin/"); ok && name != "" {
			programsLeft--
			mustRun(t, save(t, filepath.Join(dir, name), r), name, s)
		}
	}
	if programsLeft != 0 || !has["LICENSE"] || !has["deploy/worker.yaml"] {
		t.Errorf("%d programs are missing; it has %v", programsLeft, has)
	}
}

// mustRun has a program tell its version, where this machine can run it.
func mustRun(t *testing.T, file, name string, s source, in ...string) {
	t.Helper()
	if runtime.GOOS+"/"+runtime.GOARCH != platforms {
		return
	}
	ask := "--version"
	if name == "spotserve" {
		ask = "version"
	}
	args := slices.Concat(in, []string{file, ask})
	out, err := output(exec.CommandContext(t.Context(), args[0], args[1:]...))
	if want := name + " " + s.version + " " + s.commit[:12] + " " + toolchain + "\n"; err != nil || string(out) != want {
		t.Errorf("%s says %q, %v; want %q", name, out, err, want)
	}
}

func TestBill(t *testing.T) {
	s := commitOf(t)
	f, err := os.Open(only(t, "*_linux_amd64.cdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	mustBeBill(t, f, s, len(programs))
}

// mustBeBill checks what a reader of a bill relies on: everything is named
// once, with a version and checksums, and what depends on what is all there.
func mustBeBill(t *testing.T, r io.Reader, s source, binaries int) {
	t.Helper()
	var bom cyclonedx.BOM
	if err := cyclonedx.NewBOMDecoder(r, cyclonedx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatal(err)
	}
	if bom.Metadata.Component.Version != s.version || bom.Metadata.Timestamp != s.time.Format(time.RFC3339) || !strings.HasPrefix(bom.SerialNumber, "urn:uuid:") {
		t.Errorf("it is of %s, %s, %s", bom.Metadata.Component.Version, bom.Metadata.Timestamp, bom.SerialNumber)
	}
	refs, names := map[string]bool{bom.Metadata.Component.BOMRef: true}, map[string]bool{}
	apps := 0
	for _, c := range *bom.Components {
		if refs[c.BOMRef] {
			t.Errorf("%s is there twice", c.BOMRef)
		}
		refs[c.BOMRef], names[c.Name] = true, true
		own := strings.HasPrefix(c.PackageURL, "pkg:golang/"+modulePath)
		switch {
		case c.Version == "" || c.PackageURL == "" || strings.Contains(c.Version, "devel") || strings.HasPrefix(c.Name, "."):
			t.Errorf("%s: version %q, purl %q", c.Name, c.Version, c.PackageURL)
		case own && c.Version != s.version:
			t.Errorf("%s is of version %s", c.Name, c.Version)
		case !own && c.Name != "std" && c.Hashes == nil:
			t.Errorf("%s has no checksum", c.Name)
		}
		if c.Type == cyclonedx.ComponentTypeApplication {
			apps++
		}
	}
	for _, want := range []string{"std", modulePath + "/core", "github.com/nats-io/nats.go"} {
		if !names[want] {
			t.Errorf("%s is missing", want)
		}
	}
	if apps != binaries || len(*bom.Dependencies) != len(refs) {
		t.Errorf("%d binaries, dependencies of %d of %d", apps, len(*bom.Dependencies), len(refs))
	}
	for _, d := range *bom.Dependencies {
		if !refs[d.Ref] {
			t.Errorf("%s has dependencies and is no component", d.Ref)
		}
		for _, to := range dependenciesOf(d) {
			if !refs[to] {
				t.Errorf("%s depends on %s, which is no component", d.Ref, to)
			}
		}
	}
}

func dependenciesOf(d cyclonedx.Dependency) []string {
	if d.Dependencies == nil {
		return nil
	}
	return *d.Dependencies
}

func TestVersion(t *testing.T) {
	at := time.Date(2026, 11, 23, 19, 27, 44, 0, time.UTC)
	for _, c := range []struct {
		tag    string
		tagged bool
		want   string // empty: refused
	}{
		{"", false, "v0.0.0-20261123192744-0123456789ab"},
		{"v1.2.3", true, "v1.2.3"},
		{"v1.2.3", false, "v1.2.4-0.20261123192744-0123456789ab"},
		{"v1.3.0-rc.1", true, "v1.3.0-rc.1"},
		{"v1.3", true, ""},
	} {
		got, err := versionOf(c.tag, c.tagged, at, "0123456789abcdef")
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%q, tagged %t: %q, %v; want %q", c.tag, c.tagged, got, err, c.want)
		}
	}
}

func TestBadArguments(t *testing.T) {
	for _, args := range [][]string{
		{"--platforms", "linux"}, {"--commit", "no-such-commit"}, {"--repository", "/nowhere"}, {"more"},
		{"push"}, {"push", "registry.test/x"}, {"push", "registry.test/x", "no-such_image.tar"},
	} {
		if err := run(t.Context(), append(args, extra(args)...), io.Discard); err == nil {
			t.Errorf("%v: no error", args)
		}
	}
}

// TestOutIsOfReleases: --out replaces an earlier release, and nothing else.
func TestOutIsOfReleases(t *testing.T) {
	for _, c := range []struct {
		file string
		ok   bool
	}{{"spotserve_1.2.3_linux_amd64.tar.gz", true}, {sums, true}, {"thesis.tex", false}} {
		dir := t.TempDir()
		file := save(t, filepath.Join(dir, c.file), strings.NewReader("text"))
		_, err := anew(dir)
		if _, gone := os.Stat(file); (err == nil) != c.ok || (gone != nil) != c.ok {
			t.Errorf("%s: error %v, file gone: %v; want %t", c.file, err, gone != nil, c.ok)
		}
	}
}

// extra keeps what a wrong call writes out of this folder.
func extra(args []string) []string {
	if strings.HasPrefix(args[0], "--") {
		return []string{"--out", filepath.Join(os.TempDir(), "spotserve-never")}
	}
	return nil
}

// commitOf tells what dist was made from.
func commitOf(t *testing.T) source {
	t.Helper()
	s, err := export(t.Context(), "../..", head, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// only is the one file of dist that fits.
func only(t *testing.T, pattern string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dist, pattern))
	if err != nil || len(files) != 1 {
		t.Fatalf("%s: %v, %v; want one", pattern, files, err)
	}
	return files[0]
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func save(t *testing.T, file string, r io.Reader) string {
	t.Helper()
	if err := os.MkdirAll(path.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(f, r); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return file
}
