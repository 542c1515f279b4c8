package credential_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nkeys"

	"github.com/spotserve/spotserve/platform/credential"
)

// authority is a CA of a test.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  crypto.Signer
	n    int64
}

func newKey(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir(), key: newKey(t)}
	der := a.sign(&x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil, a.key)
	var err error
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.write("ca.crt", "CERTIFICATE", der, 0o644)
	return a
}

func (a *authority) sign(c, parent *x509.Certificate, key crypto.Signer) []byte {
	a.t.Helper()
	a.n++
	c.SerialNumber, c.Subject = big.NewInt(a.n), pkix.Name{CommonName: "test"}
	if c.NotAfter.IsZero() {
		c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	}
	if parent == nil {
		parent = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return der
}

// pair writes a pair for the owners of the IDs and returns the files.
func (a *authority) pair(name string, notBefore, notAfter time.Time, ids ...*url.URL) credential.Files {
	a.t.Helper()
	key := newKey(a.t)
	der := a.sign(&x509.Certificate{
		NotBefore: notBefore, NotAfter: notAfter, URIs: ids,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}, a.cert, key)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	return credential.Files{
		CA:   filepath.Join(a.dir, "ca.crt"),
		Cert: a.write(name+".crt", "CERTIFICATE", der, 0o644),
		Key:  a.write(name+".key", "PRIVATE KEY", private, 0o600),
	}
}

// worker is a pair of a node's worker that holds now.
func (a *authority) worker(node string) credential.Files {
	return a.pair("worker", time.Time{}, time.Time{}, credential.WorkerID(node))
}

// between is a pair that an authority in between signed, whose certificate comes
// with it.
func (a *authority) between() credential.Files {
	a.t.Helper()
	lower := &authority{t: a.t, dir: a.t.TempDir(), key: newKey(a.t), n: 1000}
	der := a.sign(&x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, a.cert, lower.key)
	var err error
	if lower.cert, err = x509.ParseCertificate(der); err != nil {
		a.t.Fatal(err)
	}
	files := lower.worker("node-0")
	files.CA = filepath.Join(a.dir, "ca.crt")
	chain := read(a.t, files.Cert) + string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	files.Cert = write(a.t, filepath.Join(lower.dir, "chain.crt"), chain, 0o644)
	return files
}

func (a *authority) write(name, kind string, der []byte, mode os.FileMode) string {
	a.t.Helper()
	return write(a.t, filepath.Join(a.dir, name), string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})), mode)
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func write(t *testing.T, path, text string, mode os.FileMode) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// seed is a new nkey seed and its public key.
func seed(t *testing.T, create func() (nkeys.KeyPair, error)) (seed, public string) {
	t.Helper()
	pair, err := create()
	if err != nil {
		t.Fatal(err)
	}
	text, err := pair.Seed()
	if err != nil {
		t.Fatal(err)
	}
	public, err = pair.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return string(text), public
}
