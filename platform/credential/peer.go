package credential

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/spotserve/spotserve/platform/wire"
)

// scheme and workers are of the URIs that name the owner of a certificate.
const (
	scheme  = "spotserve"
	workers = "worker"
)

// WorkerID is the URI that names the worker of a node in its certificate.
func WorkerID(node string) *url.URL {
	token := wire.NodeToken(node)
	path, err := url.PathUnescape("/" + token)
	if err != nil {
		path = "/" + token // a token is a well-formed escape: this cannot be
	}
	return &url.URL{Scheme: scheme, Host: workers, Path: path, RawPath: "/" + token}
}

// RoleID is the URI that names any other role in its certificate.
func RoleID(role string) *url.URL { return &url.URL{Scheme: scheme, Host: role} }

// Peer are the settings of the data plane of a node's worker. Both sides show a
// certificate, and take none but a worker's.
type Peer struct {
	// Server takes connections of workers. Whose, CertifiedNodes says of the
	// connection's state: what a peer says it is has to be among them.
	Server *tls.Config
	// Client makes connections to the worker of a node and to nobody else.
	Client func(node string) *tls.Config
}

// Peer returns the settings of the data plane for the worker of a node, whose
// name has to be in the certificate.
func (f Files) Peer(node string) (Peer, error) {
	server, err := f.Server()
	if err != nil {
		return Peer{}, fmt.Errorf("the data plane of node %s: %w", node, err)
	}
	roots, err := f.roots()
	if err != nil {
		return Peer{}, err
	}
	pair, err := f.renewing()
	if err != nil {
		return Peer{}, err
	}
	if err := isWorker(pair.pair.Leaf, node); err != nil {
		return Peer{}, file{flag: flagCert, path: f.Cert}.fault("%w", err)
	}
	server.VerifyConnection = func(s tls.ConnectionState) error {
		nodes, err := CertifiedNodes(s)
		if err == nil && len(nodes) == 0 {
			err = errNoWorker
		}
		return err
	}
	return Peer{
		Server: server,
		Client: func(to string) *tls.Config {
			return &tls.Config{
				MinVersion:           tls.VersionTLS13,
				GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return pair.now() },
				// A worker is who its certificate names, wherever it listens: the
				// chain and the name are checked by VerifyConnection instead.
				InsecureSkipVerify: true, //nolint:gosec // see above
				VerifyConnection:   func(s tls.ConnectionState) error { return VerifyWorker(s, roots, to) },
			}
		},
	}, nil
}

var errNoWorker = errors.New("the certificate is not a worker's")

// VerifyWorker checks what the worker of a node shows to whoever dials it.
func VerifyWorker(s tls.ConnectionState, roots *x509.CertPool, node string) error {
	if len(s.PeerCertificates) == 0 {
		return errors.New("there is no certificate")
	}
	between := x509.NewCertPool()
	for _, c := range s.PeerCertificates[1:] {
		between.AddCert(c)
	}
	leaf := s.PeerCertificates[0]
	if _, err := leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}); err != nil {
		return err
	}
	return isWorker(leaf, node)
}

func isWorker(cert *x509.Certificate, node string) error {
	want := WorkerID(node).String()
	for _, id := range cert.URIs {
		if id.String() == want {
			return nil
		}
	}
	return fmt.Errorf("the certificate is not that of node %s: want %s in it, it is for %s", node, want, owners(cert))
}

func owners(cert *x509.Certificate) string {
	names := make([]string, len(cert.URIs))
	for i, id := range cert.URIs {
		names[i] = id.String()
	}
	if len(names) == 0 {
		return "nobody"
	}
	return strings.Join(names, ", ")
}

// CertifiedNodes are the nodes whose worker the other side of a connection is, by
// the certificate that it showed and that was verified.
func CertifiedNodes(s tls.ConnectionState) ([]string, error) {
	if len(s.PeerCertificates) == 0 {
		return nil, errors.New("there is no certificate")
	}
	return WorkerNodes(s.PeerCertificates[0]), nil
}

// WorkerNodes are the nodes of whose workers a certificate is.
func WorkerNodes(cert *x509.Certificate) (nodes []string) {
	for _, id := range cert.URIs {
		node, ok := strings.CutPrefix(id.Path, "/")
		if id.Scheme == scheme && id.Host == workers && ok && id.String() == WorkerID(node).String() {
			nodes = append(nodes, node)
		}
	}
	return nodes
}
