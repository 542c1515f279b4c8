package main

import (
	"archive/tar"
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/static"
	layers "github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

const (
	license = "Apache-2.0"
	origin  = "https://" + modulePath

	// nobody is the user of the images, as nonroot is elsewhere.
	nobody = 65532

	refName = "org.opencontainers.image.ref.name"
	billIs  = types.MediaType("application/vnd.cyclonedx+json")
)

// image writes the image of one program for all its platforms: a tar of an OCI
// layout whose index names the image, and its bill of materials as an artifact
// that refers to it.
func (s source) image(name string, built []binary) error {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	about := s.labels(built[0].program)
	for _, b := range built {
		img, err := s.imageOf(b)
		if err != nil {
			return err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: b.os, Architecture: b.arch}},
		})
	}
	index = mutate.Annotations(index, about).(v1.ImageIndex)

	bom, err := s.billArtifact(index, built)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(s.dir, "layout-")
	if err != nil {
		return err
	}
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	if err := path.AppendIndex(index, layout.WithAnnotations(map[string]string{refName: s.bare(), "org.opencontainers.image.title": built[0].name})); err != nil {
		return err
	}
	if err := path.AppendImage(bom); err != nil {
		return err
	}
	return create(name, func(w io.Writer) error {
		t := tarball{tar.NewWriter(w), s.time}
		for _, part := range []string{"oci-layout", "index.json", "blobs"} {
			if err := t.copies(filepath.Join(dir, part), part); err != nil {
				return err
			}
		}
		return t.Close()
	})
}

func (s source) labels(p program) map[string]string {
	return map[string]string{
		"org.opencontainers.image.title":       p.name,
		"org.opencontainers.image.description": p.does,
		"org.opencontainers.image.source":      origin,
		"org.opencontainers.image.licenses":    license,
		"org.opencontainers.image.version":     s.bare(),
		"org.opencontainers.image.revision":    s.commit,
		"org.opencontainers.image.created":     s.time.Format(time.RFC3339),
	}
}

// imageOf is a program on nothing: no shell, no libraries, the public
// certificate authorities, a user without rights and a folder for its data.
func (s source) imageOf(b binary) (v1.Image, error) {
	base, err := s.layer(s.files)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(b.file)
	if err != nil {
		return nil, err
	}
	at := "usr/local/bin/" + b.name
	own, err := s.layer(func(t tarball) error { return t.file(at, executable, text) })
	if err != nil {
		return nil, err
	}
	created := v1.Time{Time: s.time}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err = mutate.Append(img,
		mutate.Addendum{Layer: base, MediaType: types.OCILayer, History: v1.History{Created: created, CreatedBy: "certificates, user, folders"}},
		mutate.Addendum{Layer: own, MediaType: types.OCILayer, History: v1.History{Created: created, CreatedBy: "go build " + b.name}})
	if err != nil {
		return nil, err
	}
	file, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Created = b.os, b.arch, created
	file.Config = v1.Config{
		User:       fmt.Sprintf("%d:%d", nobody, nobody),
		Entrypoint: []string{"/" + at},
		Env:        []string{"PATH=/usr/local/bin", "HOME=" + home, "SSL_CERT_FILE=" + certificates},
		WorkingDir: home,
		Labels:     s.labels(b.program),
	}
	return mutate.ConfigFile(img, file)
}

const (
	home         = "/var/lib/spotserve"
	certificates = "/etc/ssl/certs/ca-certificates.crt"
)

// files are those that every image has beside its program.
func (s source) files(t tarball) error {
	roots, err := publicRoots()
	if err != nil {
		return err
	}
	for _, name := range []string{"etc", "etc/ssl", "etc/ssl/certs"} {
		if err := t.folder(name, executable, 0); err != nil {
			return err
		}
	}
	for _, f := range []struct{ name, text string }{
		{"etc/group", fmt.Sprintf("root:x:0:\nspotserve:x:%d:\n", nobody)},
		{"etc/passwd", fmt.Sprintf("root:x:0:0:root:/:/sbin/nologin\nspotserve:x:%d:%d:spotserve:%s:/sbin/nologin\n", nobody, nobody, home)},
		{certificates[1:], string(roots)},
	} {
		if err := t.file(f.name, anyone, []byte(f.text)); err != nil {
			return err
		}
	}
	if err := t.folder("tmp", 0o1777, 0); err != nil {
		return err
	}
	return t.folder(home[1:], 0o750, nobody)
}

// publicRoots are Mozilla's, in the version that go.sum pins. Those that are
// trusted under conditions only, which PEM cannot tell, are left out.
func publicRoots() ([]byte, error) {
	var text bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint != nil {
			continue
		}
		c, err := x509.ParseCertificate(root.Certificate)
		if err != nil {
			return nil, err
		}
		_, _ = fmt.Fprintf(&text, "# %s\n", c.Subject)
		if err := pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}); err != nil {
			return nil, err
		}
	}
	return text.Bytes(), nil
}

func (s source) layer(fill func(tarball) error) (v1.Layer, error) {
	var text bytes.Buffer
	t := tarball{tar.NewWriter(&text), s.time}
	if err := fill(t); err != nil {
		return nil, err
	}
	if err := t.Close(); err != nil {
		return nil, err
	}
	return layers.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text.Bytes())), nil },
		layers.WithMediaType(types.OCILayer))
}

// billArtifact is the bill of materials of an image, as registries keep it:
// a manifest that names the image as its subject.
func (s source) billArtifact(subject v1.ImageIndex, built []binary) (v1.Image, error) {
	bom, err := s.billOf(built[0].name, built)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	if err := encode(&text, bom); err != nil {
		return nil, err
	}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), billIs)
	if img, err = mutate.Append(img, mutate.Addendum{Layer: static.NewLayer(text.Bytes(), billIs), MediaType: billIs}); err != nil {
		return nil, err
	}
	d, err := partial.Descriptor(subject)
	if err != nil {
		return nil, err
	}
	return mutate.Subject(img, v1.Descriptor{MediaType: d.MediaType, Size: d.Size, Digest: d.Digest}).(v1.Image), nil
}
