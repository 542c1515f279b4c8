package look

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spotserve/spotserve/cmd/spotserve/internal/doctor"
	"github.com/spotserve/spotserve/platform/access"
	"github.com/spotserve/spotserve/platform/credential"
)

// show keeps a certificate that somebody has shown.
func (l *looker) show(whose string, chain []*x509.Certificate) {
	if len(chain) > 0 {
		l.shown = append(l.shown, of(whose, chain[0]))
	}
}

func of(whose string, c *x509.Certificate) doctor.Certificate {
	return doctor.Certificate{Whose: whose, NotBefore: c.NotBefore, NotAfter: c.NotAfter}
}

// certificates lists those of this process's files, and those that were shown.
func (l *looker) certificates(s *doctor.Seen) {
	for _, f := range []struct{ whose, path string }{
		{"the authority (--tls-ca)", l.Credentials.CA}, {"this process (--tls-cert)", l.Credentials.Cert},
	} {
		if f.path == "" {
			continue
		}
		c, err := read(f.path)
		if err != nil {
			s.Certificates = append(s.Certificates, doctor.Certificate{Whose: f.whose, Err: err})
			continue
		}
		s.Certificates = append(s.Certificates, of(f.whose, c))
	}
	slices.SortFunc(l.shown, func(a, b doctor.Certificate) int { return strings.Compare(a.Whose, b.Whose) })
	s.Certificates = append(s.Certificates, l.shown...)
}

// read returns the first certificate of a file.
func read(path string) (*x509.Certificate, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("%s: it has no certificate in PEM", path)
	}
	return x509.ParseCertificate(block.Bytes)
}

// identity is the role that this process's certificate says, and the node of a
// worker; empty without one.
func identity(f credential.Files) (role access.Role, node string) {
	if f.Cert == "" {
		return "", ""
	}
	c, err := read(f.Cert)
	if err != nil {
		return "", "" // told with the certificate
	}
	for _, id := range c.URIs {
		for _, r := range access.Roles() {
			if name := strings.TrimPrefix(id.Path, "/"); name == "" && id.String() == credential.RoleID(string(r)).String() {
				return r, ""
			} else if r == access.Worker && name != "" && id.String() == credential.WorkerID(name).String() {
				return r, name
			}
		}
	}
	return "", ""
}
