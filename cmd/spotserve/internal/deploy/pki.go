package deploy

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/url"
	"os"
	"slices"
	"time"

	"github.com/nats-io/nkeys"

	"github.com/spotserve/spotserve/platform/credential"
)

// caDays is how long the authority holds: longer than what it signs, which is
// renewed without touching it.
const caDays = 3650

// clockSkew is how far the clocks of hosts may differ where a certificate is new.
const clockSkew = time.Hour

var (
	clientUse = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	bothUses  = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth} // servers dial each other, and workers do
)

// authority signs the certificates of a deployment.
type authority struct {
	cert *x509.Certificate
	key  any
	pem  []byte // of the certificate
}

// openAuthority reads the authority, or makes it. A half of it is not mended:
// nothing that was signed would hold any more.
func (s *set) openAuthority() (*authority, error) {
	certPath, keyPath := s.path(caCert), s.path(caKey)
	pair, err := readPair(certPath, keyPath)
	switch {
	case err != nil:
		return nil, err
	case pair != nil && !pair.Leaf.IsCA:
		return nil, fmt.Errorf("%s is no authority's certificate", certPath)
	case pair != nil && s.Now.After(pair.Leaf.NotAfter):
		return nil, fmt.Errorf("%s expired at %s: make a new set in another folder", certPath, pair.Leaf.NotAfter.UTC().Format(time.RFC3339))
	case pair != nil:
		s.step("kept", "the authority, to "+pair.Leaf.NotAfter.UTC().Format(time.DateOnly), caCert)
		return &authority{cert: pair.Leaf, key: pair.PrivateKey, pem: encode("CERTIFICATE", pair.Leaf.Raw)}, nil
	}
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	number, err := serial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: number, Subject: pkix.Name{CommonName: "SpotServe " + number.Text(36)},
		NotBefore: s.Now.Add(-clockSkew), NotAfter: s.Now.AddDate(0, 0, caDays),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	a := &authority{cert: cert, key: key, pem: encode("CERTIFICATE", der)}
	if err := writePair(certPath, a.pem, keyPath, key); err != nil {
		return nil, err
	}
	s.step("made", "the authority, to "+cert.NotAfter.UTC().Format(time.DateOnly), caCert)
	return a, nil
}

// identity is whom a certificate is for.
type identity struct {
	name  string
	hosts []string
	ids   []*url.URL
	use   []x509.ExtKeyUsage
}

// pair makes the pair of a folder, or keeps it, and the authority's certificate
// beside it.
func (s *set) pair(folder, certName, keyName, what string, of identity) error {
	if err := os.MkdirAll(s.path(folder), 0o700); err != nil {
		return err
	}
	if err := s.trust(folder); err != nil {
		return err
	}
	certPath, keyPath := s.path(folder, certName), s.path(folder, keyName)
	pair, err := readPair(certPath, keyPath)
	if err != nil {
		return err
	}
	if pair != nil && !s.Renew {
		if err := pair.Leaf.CheckSignatureFrom(s.authority.cert); err != nil {
			return fmt.Errorf("%s: another authority signed it: --renew makes it anew", certPath)
		}
		left := pair.Leaf.NotAfter.Sub(s.Now)
		note := ", to " + pair.Leaf.NotAfter.UTC().Format(time.DateOnly)
		switch {
		case left < 0:
			note = ", EXPIRED: --renew makes it anew"
		case left < 30*24*time.Hour:
			note += ", which is soon: --renew makes it anew"
		}
		s.step("kept", what+note, folder, certName)
		return nil
	}
	key, err := newKey()
	if err != nil {
		return err
	}
	cert, err := s.sign(of, key)
	if err != nil {
		return fmt.Errorf("%s: %w", certPath, err)
	}
	if err := writePair(certPath, encode("CERTIFICATE", cert.Raw), keyPath, key); err != nil {
		return err
	}
	done := "made"
	if pair != nil {
		done = "renewed"
	}
	s.step(done, what+", to "+cert.NotAfter.UTC().Format(time.DateOnly), folder, certName)
	return nil
}

// trust puts the authority's certificate into a folder.
func (s *set) trust(folder string) error {
	path := s.path(folder, caCert)
	have, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return write(path, s.authority.pem, public)
	case err != nil:
		return err
	case !bytes.Contains(have, bytes.TrimSpace(s.authority.pem)):
		// A bundle may have another authority too, while one follows the other.
		return fmt.Errorf("%s has not the authority of %s: is it of another set? Move it away", path, s.path(caCert))
	}
	return nil
}

func (s *set) sign(of identity, key *ecdsa.PrivateKey) (*x509.Certificate, error) {
	number, err := serial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: number, Subject: pkix.Name{CommonName: of.name},
		NotBefore: s.Now.Add(-clockSkew), NotAfter: s.Now.AddDate(0, 0, s.Days),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: of.use, BasicConstraintsValid: true, URIs: of.ids,
	}
	if template.NotAfter.After(s.authority.cert.NotAfter) {
		template.NotAfter = s.authority.cert.NotAfter
	}
	for _, host := range of.hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, s.authority.cert, key.Public(), s.authority.key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// seed makes the nkey of a user's folder, or keeps it, and returns the public key.
func (s *set) seed(folder string) (string, error) {
	path := s.path(folder, roleSeed)
	_, err := os.Lstat(path)
	if err == nil {
		key, err := credential.PublicKey(path)
		if err != nil {
			return "", err
		}
		s.step("kept", "its user "+key, folder, roleSeed)
		return key, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	user, err := nkeys.CreateUser()
	if err != nil {
		return "", err
	}
	defer user.Wipe()
	seed, err := user.Seed()
	if err != nil {
		return "", err
	}
	key, err := user.PublicKey()
	if err != nil {
		return "", err
	}
	if err := write(path, append(seed, '\n'), secret); err != nil {
		return "", err
	}
	s.step("made", "its user "+key, folder, roleSeed)
	return key, nil
}

// readPair reads a pair; nil if there is none. Half a pair is an error.
func readPair(certPath, keyPath string) (*tls.Certificate, error) {
	_, certErr := os.Lstat(certPath)
	_, keyErr := os.Lstat(keyPath)
	switch {
	case errors.Is(certErr, fs.ErrNotExist) && errors.Is(keyErr, fs.ErrNotExist):
		return nil, nil //nolint:nilnil // there is none, which is no error
	case certErr != nil:
		return nil, fmt.Errorf("%s has no certificate beside it: %w: put it back, or move the key away", keyPath, certErr)
	case keyErr != nil:
		return nil, fmt.Errorf("%s has no key beside it: %w: put it back, or move the certificate away", certPath, keyErr)
	}
	pair, err := tls.LoadX509KeyPair(certPath, keyPath)
	if err != nil {
		return nil, fmt.Errorf("%s with %s: %w", certPath, keyPath, err)
	}
	return &pair, nil
}

func readCert(path string) (*x509.Certificate, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s has no certificate in PEM", path)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return cert, nil
}

func isFor(cert *x509.Certificate, host string) bool { return slices.Contains(certHosts(cert), host) }

// certHosts are the hosts that a certificate names, as --host writes them.
func certHosts(cert *x509.Certificate) []string {
	hosts := slices.Clone(cert.DNSNames)
	for _, ip := range cert.IPAddresses {
		hosts = append(hosts, ip.String())
	}
	return hosts
}

func newKey() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

func serial() (*big.Int, error) { return rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)) }

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
