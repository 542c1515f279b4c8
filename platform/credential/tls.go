package credential

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"sync"
	"time"
)

// Client returns the settings of connections to NATS and ClickHouse: the
// authorities of --tls-ca and TLS 1.3. The pair, if there is one, is shown to a
// server that asks, and read again when its files change. Without --tls-ca it is
// nil.
func (f Files) Client() (*tls.Config, error) {
	if !f.TLS() {
		return nil, nil //nolint:nilnil // no TLS is not an error
	}
	roots, err := f.roots()
	if err != nil {
		return nil, err
	}
	config := &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots}
	if f.Cert == "" {
		return config, nil
	}
	pair, err := f.renewing()
	if err != nil {
		return nil, err
	}
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return pair.now() }
	return config, nil
}

// Server returns the settings of a server that lets nobody in without a
// certificate of the authorities. The pair is read again when its files change.
func (f Files) Server() (*tls.Config, error) {
	if !f.TLS() || f.Cert == "" {
		return nil, fmt.Errorf("a server with TLS takes --%s, --%s and --%s", flagCA, flagCert, flagKey)
	}
	roots, err := f.roots()
	if err != nil {
		return nil, err
	}
	pair, err := f.renewing()
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS13,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return pair.now() },
		ClientAuth:     tls.RequireAndVerifyClientCert,
		ClientCAs:      roots,
		// Each connection shows its certificate: who was let in once with one that
		// has expired since does not come in again.
		SessionTicketsDisabled: true,
	}, nil
}

// roots reads the authorities.
func (f Files) roots() (*x509.CertPool, error) {
	ca := file{flagCA, f.CA, false}
	data, err := ca.read()
	if err != nil {
		return nil, err
	}
	pool, n := x509.NewCertPool(), 0
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		n++
		cert, err := x509.ParseCertificate(block.Bytes)
		switch {
		case block.Type != "CERTIFICATE":
			return nil, ca.fault("entry %d is a %s: want certificates alone", n, block.Type)
		case err != nil:
			return nil, ca.fault("certificate %d: %w", n, err)
		case !cert.IsCA:
			return nil, ca.fault("certificate %d, %s, is not an authority's", n, cert.Subject)
		}
		pool.AddCert(cert)
	}
	if n == 0 {
		return nil, ca.fault("it has no certificate in PEM")
	}
	return pool, nil
}

// load reads the pair.
func (f Files) load() (*tls.Certificate, error) {
	cert, key := file{flagCert, f.Cert, false}, file{flagKey, f.Key, true}
	certPEM, err := cert.read()
	if err != nil {
		return nil, err
	}
	keyPEM, err := key.read()
	if err != nil {
		return nil, err
	}
	defer clear(keyPEM)
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("--%s %s with --%s %s: they are no pair: %w", flagCert, f.Cert, flagKey, f.Key, err)
	}
	if err := cert.inTime(pair.Leaf, time.Now()); err != nil {
		return nil, err
	}
	return &pair, nil
}

func (f file) inTime(cert *x509.Certificate, now time.Time) error {
	switch {
	case now.After(cert.NotAfter):
		return f.fault("it expired at %s: renew it (spotserve deploy keys --renew)", cert.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(cert.NotBefore):
		return f.fault("it holds from %s on: is this host's clock right?", cert.NotBefore.UTC().Format(time.RFC3339))
	}
	return nil
}

// chains refuses a certificate that the authorities did not sign, nor those in
// between that come with it: a bundle and a pair of two deployments.
func (f Files) chains(pair *tls.Certificate, roots *x509.CertPool) error {
	between := x509.NewCertPool()
	for _, der := range pair.Certificate[1:] {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return file{flag: flagCert, path: f.Cert}.fault("%w", err)
		}
		between.AddCert(c)
	}
	_, err := pair.Leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return file{flag: flagCert, path: f.Cert}.fault("it is none of --%s %s: %w", flagCA, f.CA, err)
	}
	return nil
}

// renewing is a pair that is read again when its files change.
type renewing struct {
	files Files

	mu    sync.Mutex
	pair  *tls.Certificate
	stamp [2]stamp
}

// stamp tells a file from the one that was there before.
type stamp struct {
	changed time.Time
	size    int64
}

func (f Files) renewing() (*renewing, error) {
	r := &renewing{files: f, stamp: f.stamps()}
	var err error
	r.pair, err = f.load()
	return r, err
}

func (f Files) stamps() (s [2]stamp) {
	for i, path := range []string{f.Cert, f.Key} {
		if info, err := os.Stat(path); err == nil {
			s[i] = stamp{info.ModTime(), info.Size()}
		}
	}
	return s
}

// now returns the pair of the files as they are. While they are replaced, one
// after the other, that is the old pair: it is looked at again the next time. A
// pair that has expired is no more use to anybody.
func (r *renewing) now() (*tls.Certificate, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if stamps := r.files.stamps(); stamps != r.stamp {
		if pair, err := r.files.load(); err == nil {
			r.pair, r.stamp = pair, stamps
		}
	}
	if err := (file{flag: flagCert, path: r.files.Cert}).inTime(r.pair.Leaf, time.Now()); err != nil {
		return nil, err
	}
	return r.pair, nil
}
