package natsbus

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/spotserve/spotserve/platform/bus/jsapi"
	"github.com/spotserve/spotserve/platform/credential"
)

// login returns the URLs to dial, and the options by which this process says who
// it is and whom it trusts. All files are read anew: a dial takes them as they
// are now.
func (o Options) login() (urls string, options []nats.Option, err error) {
	urls = o.URL
	if o.InProcess != nil {
		options = append(options, nats.InProcessServer(o.InProcess))
	} else {
		config, err := o.Credentials.Client()
		if err != nil {
			return "", nil, err
		}
		if config != nil {
			options = append(options, nats.Secure(config)) // never plain text, whatever the URL's scheme
		}
	}
	switch {
	case o.User != "":
		options = append(options, nats.UserInfo(o.User, o.Password))
	case o.Credentials.NKey != "":
		key, err := credential.PublicKey(o.Credentials.NKey)
		if err != nil {
			return "", nil, err
		}
		options = append(options,
			nats.Nkey(key, func(nonce []byte) ([]byte, error) { return credential.Sign(o.Credentials.NKey, nonce) }),
			nats.CustomInboxPrefix(jsapi.Inbox(key))) // nobody else may listen there
	case o.Credentials.NATSPassword != "":
		var user, password string
		if urls, user, err = withoutUser(o.URL); err != nil {
			return "", nil, err
		}
		if password, err = o.Credentials.ReadNATSPassword(); err != nil {
			return "", nil, err
		}
		options = append(options, nats.UserInfo(user, password))
	}
	return urls, options, nil
}

// withoutUser takes the user out of URLs that name one without a password: the
// client would take it for a token.
func withoutUser(list string) (urls, user string, err error) {
	all := strings.Split(list, ",")
	for i, text := range all {
		u, err := parseURL(text)
		if err != nil {
			return "", "", fmt.Errorf("URL %d of %d cannot be read", i+1, len(all))
		}
		_, hasPassword := u.User.Password()
		name := u.User.Username()
		if hasPassword || name == "" || i > 0 && name != user {
			return "", "", fmt.Errorf("URL %d of %d: with a password file, want nats://user@host:port, with the same user in each", i+1, len(all))
		}
		user, u.User = name, nil
		all[i] = u.String()
	}
	return strings.Join(all, ","), user, nil
}

// who names this process's user in messages.
func (o Options) who() string {
	if o.User != "" {
		return "user " + o.User
	}
	if who := o.Credentials.Who(); who != "" {
		return who
	}
	if u, err := url.Parse(o.URL); err == nil && o.InProcess == nil {
		_, named := u.User.Password()
		if named || o.Credentials.NATSPassword != "" {
			return "user " + u.User.Username()
		}
	}
	return "no user"
}

// errCredentials says that nothing was dialled: a file of this process's own is not
// as it is to be.
var errCredentials = errors.New("this process cannot say who it is")

// hint says what may mend a dial that failed; empty if nothing special is known.
func (o Options) hint(err error) string {
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var plain tls.RecordHeaderError
	text := strings.ToLower(err.Error())
	switch {
	case errors.Is(err, errCredentials):
		return "mend the file: it is read again at each attempt"
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired), errors.Is(err, nats.ErrAuthRevoked):
		return "the server does not let " + o.who() + " in: name credentials that it knows (--nats-nkey, or a user and --nats-password-file), and reload it after auth.conf has changed"
	case errors.Is(err, nats.ErrNkeysNotSupported):
		return "the server knows no nkeys: have it include the auth.conf of spotserve deploy keys, or name another one with --nats"
	case errors.Is(err, nats.ErrSecureConnRequired), strings.Contains(text, "secure connection required"):
		return "the server wants TLS: name its authority with --tls-ca"
	case errors.Is(err, nats.ErrSecureConnWanted):
		return "--tls-ca asks for TLS, which the server does not offer, and nothing is said in plain text: set TLS up there"
	case errors.As(err, &unknown):
		return "--tls-ca does not name the authority of the server's certificate"
	case errors.As(err, &host):
		return "the server's certificate has not the name by which it was called: make it anew with that --host, or name the server as it is certified"
	case errors.As(err, &invalid):
		return "the server's certificate does not hold: renew it there (spotserve deploy keys --renew), and see that the clocks of both hosts are right"
	case errors.As(err, &plain):
		return "no TLS is spoken there"
	case strings.Contains(text, "remote error: tls:") && strings.Contains(text, "certificate"), strings.Contains(text, "after tls handshake"):
		return "the server wants a certificate of this process, or does not take this one: name it with --tls-cert and --tls-key"
	}
	return ""
}
