// Package planetest makes the certificates that tests of the data plane use.
package planetest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spotserve/spotserve/engine/dataplane"
)

// Authority signs certificates.
type Authority struct {
	tb   testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
	n    int64
}

// NewAuthority returns one that nobody else trusts.
func NewAuthority(tb testing.TB) *Authority {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	a := &Authority{tb: tb, key: key, pool: x509.NewCertPool()}
	a.cert = &x509.Certificate{
		SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, a.cert, a.cert, key.Public(), key)
	if err != nil {
		tb.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		tb.Fatal(err)
	}
	a.pool.AddCert(a.cert)
	return a
}

// Issue returns the certificate of whoever names say, as "worker/node-0" or
// "planner", which holds until the given time.
func (a *Authority) Issue(until time.Time, names ...string) *tls.Certificate {
	a.tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.tb.Fatal(err)
	}
	a.n++
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1 + a.n), NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, name := range names {
		host, path, _ := strings.Cut(name, "/")
		c.URIs = append(c.URIs, &url.URL{Scheme: "spotserve", Host: host, Path: "/" + path})
	}
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, key.Public(), a.key)
	if err != nil {
		a.tb.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		a.tb.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// Files writes a certificate of the given names, its key, and this authority's own
// certificate as PEM to a folder, and returns their paths.
func (a *Authority) Files(dir string, names ...string) (ca, cert, key string) {
	a.tb.Helper()
	pair := a.Issue(time.Now().Add(time.Hour), names...)
	secret, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		a.tb.Fatal(err)
	}
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			a.tb.Fatal(err)
		}
		return path
	}
	return write("ca.crt", "CERTIFICATE", a.cert.Raw), write("tls.crt", "CERTIFICATE", pair.Certificate[0]), write("tls.key", "PRIVATE KEY", secret)
}

// Security is that of a node which trusts this authority and shows a certificate of
// its own.
func (a *Authority) Security(node string) *dataplane.Security {
	a.tb.Helper()
	pair := a.Issue(time.Now().Add(time.Hour), "worker/"+node)
	return a.Show(func() *tls.Certificate { return pair })
}

// Show is the security of a node that shows what pair returns at each handshake;
// nil: no certificate.
func (a *Authority) Show(pair func() *tls.Certificate) *dataplane.Security {
	return &dataplane.Security{
		Server: &tls.Config{
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return pair(), nil },
			ClientAuth:     tls.RequireAndVerifyClientCert,
			ClientCAs:      a.pool,
		},
		Client: func(string) *tls.Config {
			return &tls.Config{
				GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
					if p := pair(); p != nil {
						return p, nil
					}
					return &tls.Certificate{}, nil
				},
				InsecureSkipVerify: true, // the certificate names a node, not a host
				VerifyConnection:   a.verify,
			}
		},
		Nodes: nodes,
	}
}

func (a *Authority) verify(s tls.ConnectionState) error {
	if len(s.PeerCertificates) == 0 {
		return errors.New("no certificate")
	}
	_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: a.pool})
	if err != nil {
		return fmt.Errorf("certificate: %w", err)
	}
	return nil
}

func nodes(s tls.ConnectionState) (out []string, err error) {
	for _, u := range s.PeerCertificates[0].URIs {
		if u.Host == "worker" {
			out = append(out, strings.TrimPrefix(u.Path, "/"))
		}
	}
	return out, nil
}
