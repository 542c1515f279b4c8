package deploy

import (
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
)

// The modes of files: secrets are their owner's alone.
const (
	secret os.FileMode = 0o600
	public os.FileMode = 0o644
)

// writePair writes a key and then its certificate: whoever finds the new key with
// the old certificate goes on with the pair that it has.
func writePair(certPath string, cert []byte, keyPath string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := write(keyPath, encode("PRIVATE KEY", der), secret); err != nil {
		return err
	}
	return write(certPath, cert, public)
}

// write puts a file in its place at once: nobody reads half of it, and nobody but
// its owner reads a secret meanwhile.
func write(path string, data []byte, mode os.FileMode) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // of mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(data)
	if err := errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
