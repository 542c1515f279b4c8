// Package credential is what a process proves itself with, and whom it trusts:
// files that are named by flags, checked before anything is connected, and never
// shown. It makes the TLS settings of connections from them.
//
// Certificates are those of the deployment's own CA (spotserve deploy keys). One
// says who its owner is by a URI: spotserve://worker/NODE for the worker of a
// node, spotserve://planner and so on for the others.
package credential

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"github.com/spf13/pflag"
)

// Files are the paths of a process's credentials; each may be empty.
type Files struct {
	CA            string // PEM bundle of the authorities to trust
	Cert, Key     string // PEM, this process's own pair
	NKey          string // nkey seed of its NATS user
	NATSPassword  string // of the user that the NATS URL names
	StorePassword string // of the user that the store URL names
}

// The names of the flags.
const (
	flagCA            = "tls-ca"
	flagCert          = "tls-cert"
	flagKey           = "tls-key"
	flagNKey          = "nats-nkey"
	flagNATSPassword  = "nats-password-file"
	flagStorePassword = "store-password-file"
)

// AddFlags adds the flags that name the files.
func (f *Files) AddFlags(fs *pflag.FlagSet) {
	fs.StringVar(&f.CA, flagCA, "", "PEM file of the authorities to trust; with it NATS and the data plane use TLS and nothing else")
	fs.StringVar(&f.Cert, flagCert, "", "PEM file of this process's certificate")
	fs.StringVar(&f.Key, flagKey, "", "PEM file of the key of --"+flagCert)
	fs.StringVar(&f.NKey, flagNKey, "", "file with the nkey seed of this process's NATS user")
	fs.StringVar(&f.NATSPassword, flagNATSPassword, "", "file with the password of the user that --nats names without one")
	fs.StringVar(&f.StorePassword, flagStorePassword, "", "file with the password of the user that --store names without one")
}

// file is one of the files, by its flag.
type file struct {
	flag, path string
	secret     bool
}

// maxFile bounds, in bytes, what is read of a file: credentials are small.
const maxFile = 1 << 20

// fault is an error about a file. It never has anything of what is in it.
func (f file) fault(format string, args ...any) error {
	return fmt.Errorf("--%s %s: %w", f.flag, f.path, fmt.Errorf(format, args...))
}

// read returns what is in a file. One that everybody on the host may write is
// refused, an authority's would let anybody in, and so is a secret that everybody
// may read. A group may: an orchestrator gives a mounted secret one.
func (f file) read() ([]byte, error) {
	in, err := os.OpenFile(f.path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe would wait for its writer
	if err != nil {
		return nil, f.fault("cannot be read: %w", reason(err))
	}
	defer func() { _ = in.Close() }() // nothing was written
	info, err := in.Stat()
	switch {
	case err != nil:
		return nil, f.fault("cannot be read: %w", reason(err))
	case !info.Mode().IsRegular():
		return nil, f.fault("it is a %s: want a file", kind(info.Mode()))
	case info.Size() > maxFile:
		return nil, f.fault("%d bytes: allowed are %d", info.Size(), maxFile)
	case f.secret && info.Mode().Perm()&0o007 != 0:
		return nil, f.fault("its mode is %04o, so everybody on this host may use it: chmod 600 %s", info.Mode().Perm(), f.path)
	case info.Mode().Perm()&0o002 != 0:
		return nil, f.fault("its mode is %04o, so everybody on this host may change it: chmod 644 %s", info.Mode().Perm(), f.path)
	}
	data := make([]byte, info.Size())
	n, err := in.ReadAt(data, 0)
	if err != nil && int64(n) < info.Size() {
		return nil, f.fault("cannot be read: %w", reason(err))
	}
	if n == 0 {
		return nil, f.fault("it is empty")
	}
	return data, nil
}

// reason is an error of the file system without the path, which is named before.
func reason(err error) error {
	if at, ok := errors.AsType[*fs.PathError](err); ok {
		return at.Err
	}
	return err
}

func kind(m fs.FileMode) string {
	if m.IsDir() {
		return "folder"
	}
	return "special file"
}

// TLS reports whether an authority is named. Then NATS and the data plane use TLS,
// whatever a URL says, and so does ClickHouse if its URL says secure=true.
func (f Files) TLS() bool { return f.CA != "" }

// Check reads all files that are named and says what is wrong with them, by flag
// and file, never by content.
func (f Files) Check() error {
	var errs []error
	if (f.Cert == "") != (f.Key == "") {
		errs = append(errs, fmt.Errorf("--%s and --%s: one of them is given: a pair takes both", flagCert, flagKey))
	} else if f.Cert != "" && f.CA == "" {
		errs = append(errs, fmt.Errorf("--%s without --%s: name the authority of the other side too", flagCert, flagCA))
	}
	if f.NKey != "" && f.NATSPassword != "" {
		errs = append(errs, fmt.Errorf("--%s and --%s are both given: allowed is one of them", flagNKey, flagNATSPassword))
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	if f.TLS() {
		roots, err := f.roots()
		errs = append(errs, err)
		if err == nil && f.Cert != "" {
			pair, err := f.load()
			if err == nil {
				err = f.chains(pair, roots)
			}
			errs = append(errs, err)
		}
	}
	if f.NKey != "" {
		_, err := PublicKey(f.NKey)
		errs = append(errs, err)
	}
	for _, p := range []file{{flagNATSPassword, f.NATSPassword, true}, {flagStorePassword, f.StorePassword, true}} {
		if p.path != "" {
			_, err := p.password()
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
