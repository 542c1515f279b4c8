package main

import (
	"archive/tar"
	"bytes"
	"crypto/x509"
	"io"
	"log/slog"
	"maps"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

func TestImages(t *testing.T) {
	for _, p := range programs {
		t.Run(p.name, func(t *testing.T) { mustBeImage(t, only(t, "*_"+p.name+"_image.tar"), p, platforms) })
	}
}

// An image of two platforms is one index. One small program is enough to see.
func TestOtherPlatforms(t *testing.T) {
	all := programs
	defer func() { programs = all }()
	programs = programs[2:3]
	out, targets := t.TempDir(), "linux/amd64,linux/arm64"
	if err := run(t.Context(), []string{"--repository", "../..", "--commit", head, "--out", out, "--platforms", targets}, io.Discard); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(out, "*"))
	if err != nil || len(files) != 6 { // two archives and their bills, an image, the checksums
		t.Errorf("made %v, %v", files, err)
	}
	images, err := filepath.Glob(filepath.Join(out, "*_"+programs[0].name+"_image.tar"))
	if err != nil || len(images) != 1 {
		t.Fatalf("images %v, %v; want one", images, err)
	}
	mustBeImage(t, images[0], programs[0], targets)
}

// mustBeImage checks the image of a program for some platforms.
func mustBeImage(t *testing.T, file string, p program, targets string) {
	t.Helper()
	s := commitOf(t)
	index, all := open(t, file)
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
	manifest := must(index.IndexManifest())(t)
	if manifest.Annotations["org.opencontainers.image.version"] != s.bare() {
		t.Errorf("it is annotated %v", manifest.Annotations)
	}
	var on []string
	for _, d := range manifest.Manifests {
		on = append(on, d.Platform.OS+"/"+d.Platform.Architecture)
		img := must(index.Image(d.Digest))(t)
		mustBeConfigured(t, img, p, s)
		if d.Platform.OS+"/"+d.Platform.Architecture == platforms {
			mustRunUnpacked(t, img, p, s)
		}
	}
	if got := strings.Join(on, ","); got != targets {
		t.Errorf("it is for %s, want %s", got, targets)
	}

	bom := must(all.Image(must(all.IndexManifest())(t).Manifests[1].Digest))(t)
	subject := must(bom.Manifest())(t).Subject
	if digest := must(index.Digest())(t); subject == nil || subject.Digest != digest {
		t.Errorf("its bill of materials is of %v, want %s", subject, digest)
	}
	text := must(must(bom.Layers())(t)[0].Compressed())(t)
	mustBeBill(t, text, s, len(on))
}

func mustBeConfigured(t *testing.T, img v1.Image, p program, s source) {
	t.Helper()
	file := must(img.ConfigFile())(t)
	if file.Config.User != "65532:65532" || file.Config.Entrypoint[0] != "/usr/local/bin/"+p.name || !file.Created.Equal(s.time) {
		t.Errorf("user %q, entrypoint %q, created %s", file.Config.User, file.Config.Entrypoint, file.Created)
	}
	if !maps.Equal(file.Config.Labels, s.labels(p)) || file.Config.Labels["org.opencontainers.image.revision"] != s.commit {
		t.Errorf("labels %v", file.Config.Labels)
	}
}

// mustRunUnpacked puts the files of an image where a runtime would, and runs
// its program, as its user and with nothing else to see where we are root.
func mustRunUnpacked(t *testing.T, img v1.Image, p program, s source) {
	t.Helper()
	root := t.TempDir()
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	files := mutate.Extract(img)
	defer files.Close()
	for r := tar.NewReader(files); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			save(t, filepath.Join(root, filepath.FromSlash(path.Clean("/"+h.Name))), r)
		}
	}
	pool := x509.NewCertPool()
	if text := read(t, filepath.Join(root, certificates)); !pool.AppendCertsFromPEM([]byte(text)) || strings.Count(text, "BEGIN CERTIFICATE") < 100 {
		t.Error("it lacks public certificate authorities")
	}
	at := "/usr/local/bin/" + p.name
	if os.Geteuid() != 0 {
		mustRun(t, filepath.Join(root, at), p.name, s)
		return
	}
	for dir := root; strings.HasPrefix(dir, os.TempDir()+"/"); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil { // its user has to get there
			t.Fatal(err)
		}
	}
	mustRun(t, at, p.name, s, "chroot", "--userspec=65532:65532", root)
}

func TestPush(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.WithReferrersSupport(true), registry.Logger(slog.NewLogLogger(slog.DiscardHandler, 0))))
	defer server.Close()
	prefix := strings.TrimPrefix(server.URL, "http://") + "/spotserve"
	file := only(t, "*_planner_image.tar")
	var said bytes.Buffer
	for range 2 { // what is there is not sent again
		said.Reset()
		if err := run(t.Context(), []string{"push", "--insecure", prefix, file}, &said); err != nil {
			t.Fatal(err)
		}
	}
	index, _ := open(t, file)
	digest := must(index.Digest())(t)
	tag := must(name.NewTag(prefix+"/planner:"+commitOf(t).bare(), name.Insecure))(t)
	if want := tag.String() + "@" + digest.String() + "\n"; said.String() != want {
		t.Errorf("it says %q, want %q", said.String(), want)
	}
	pulled := must(remote.Index(tag))(t)
	if got := must(pulled.Digest())(t); got != digest {
		t.Errorf("it has %s, want %s", got, digest)
	}
	if err := validate.Index(pulled); err != nil {
		t.Error(err)
	}
	referrers := must(must(remote.Referrers(tag.Digest(digest.String())))(t).IndexManifest())(t)
	if len(referrers.Manifests) != 1 || referrers.Manifests[0].ArtifactType != string(billIs) {
		t.Errorf("%v refer to it, want a bill of materials", referrers.Manifests)
	}
}

// open reads the tar of an image: the image, and all that is in the layout.
func open(t *testing.T, file string) (index, all v1.ImageIndex) {
	t.Helper()
	dir := t.TempDir()
	if _, err := command(t.Context(), dir, nil, "tar", "-x", "-f", file); err != nil {
		t.Fatal(err)
	}
	all = must(layout.ImageIndexFromPath(dir))(t)
	return must(all.ImageIndex(must(all.IndexManifest())(t).Manifests[0].Digest))(t), all
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
