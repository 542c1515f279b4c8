package main

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
)

const (
	anyone     = 0o644
	executable = 0o755
)

// tarball writes entries that depend on nothing but what they are given: all
// are root's, and of one time.
type tarball struct {
	*tar.Writer
	at time.Time
}

func (t tarball) file(name string, mode int64, text []byte) error {
	h := tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(text)), ModTime: t.at, Format: tar.FormatUSTAR}
	if err := t.WriteHeader(&h); err != nil {
		return err
	}
	_, err := t.Write(text)
	return err
}

func (t tarball) folder(name string, mode int64, owner int) error {
	return t.WriteHeader(&tar.Header{
		Typeflag: tar.TypeDir, Name: name + "/", Mode: mode, ModTime: t.at, Uid: owner, Gid: owner, Format: tar.FormatUSTAR,
	})
}

// link adds a link as it is; only one to what is beside it may be released.
func (t tarball) link(name, file string) error {
	to, err := os.Readlink(file)
	if err != nil {
		return err
	}
	if path.IsAbs(to) {
		return fmt.Errorf("%s: a link to %s, which others do not have", file, to)
	}
	return t.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: to, Mode: 0o777, ModTime: t.at, Format: tar.FormatUSTAR})
}

// copies adds the files below a folder, in the order of their names.
func (t tarball) copies(from, to string) error {
	return filepath.WalkDir(from, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, file)
		if err != nil {
			return err
		}
		name := path.Join(to, filepath.ToSlash(rel))
		if d.IsDir() {
			return t.folder(name, executable, 0)
		}
		if d.Type() == fs.ModeSymlink {
			return t.link(name, file)
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%s: neither a file, a folder nor a link", file)
		}
		mode := int64(anyone)
		if info.Mode()&0o100 != 0 { // git keeps no other bit, and the umask decides about those of others
			mode = executable
		}
		text, err := os.ReadFile(file) //nolint:gosec // a file of the commit
		if err != nil {
			return err
		}
		return t.file(name, mode, text)
	})
}

// archive writes the programs of a platform, and what is needed to deploy them.
func (s source) archive(name string, built []binary) error {
	return create(name, func(w io.Writer) error {
		z, err := gzip.NewWriterLevel(w, gzip.DefaultCompression)
		if err != nil {
			return err
		}
		t := tarball{tar.NewWriter(z), s.time}
		top := strings.TrimSuffix(filepath.Base(name), ".tar.gz")
		if err := t.folder(top, executable, 0); err != nil {
			return err
		}
		if err := t.folder(top+"/bin", executable, 0); err != nil {
			return err
		}
		for _, b := range built {
			text, err := os.ReadFile(b.file)
			if err != nil {
				return err
			}
			if err := t.file(top+"/bin/"+b.name, executable, text); err != nil {
				return err
			}
		}
		for _, extra := range []string{"LICENSE", "deploy"} {
			if err := t.copies(filepath.Join(s.dir, extra), top+"/"+extra); err != nil {
				return err
			}
		}
		if err := t.Close(); err != nil {
			return err
		}
		return z.Close()
	})
}

// create writes a new file.
func create(name string, write func(io.Writer) error) (err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, anyone) //nolint:gosec // what is released is for everyone
	if err != nil {
		return err
	}
	defer func() {
		if closed := f.Close(); err == nil {
			err = closed
		}
	}()
	return write(f)
}

// sums is the file with the checksums of all others.
const sums = "SHA256SUMS"

// checksums writes SHA256SUMS of all files of the folder, as sha256sum -c
// reads it, and shows it.
func checksums(folder string, out io.Writer) error {
	files, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	var text strings.Builder
	for _, f := range files {
		sum, err := digest(filepath.Join(folder, f.Name()))
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(&text, "%s  %s\n", sum, f.Name())
	}
	_, _ = io.WriteString(out, text.String())
	return create(filepath.Join(folder, sums), func(w io.Writer) error {
		_, err := io.WriteString(w, text.String())
		return err
	})
}

// digest is the SHA-256 of a file, in hexadecimal.
func digest(name string) (string, error) {
	f, err := os.Open(name) //nolint:gosec // a file of the release
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
