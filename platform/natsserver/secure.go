package natsserver

import (
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/spotserve/spotserve/platform/credential"
)

// Security lets nobody in who is not known. Its files are those that spotserve
// deploy keys makes for a NATS server.
type Security struct {
	Users     string           // the file with the users and what each may do
	Authority credential.Files // the authority, and the server's own pair
}

// processUser is the user of this process, which may do everything: it holds the
// streams in any case.
const processUser = "this-process"

// apply sets the users and TLS on a server, and makes up the password of this
// process's user.
func (s Security) apply(config *server.Options) (password string, err error) {
	users, err := server.ProcessConfigFile(s.Users)
	if err != nil {
		return "", fmt.Errorf("embedded NATS server: users: %w", err)
	}
	account, err := theAccount(users)
	if err != nil {
		return "", fmt.Errorf("embedded NATS server: %s: %w", s.Users, err)
	}
	password = rand.Text()
	config.Accounts, config.SystemAccount = users.Accounts, users.SystemAccount
	config.Nkeys = users.Nkeys
	config.Users = append(config.Users, users.Users...)
	config.Users = append(config.Users, &server.User{Username: processUser, Password: password, Account: account})
	if config.TLSConfig, err = s.Authority.Server(); err != nil {
		return "", err
	}
	config.TLS, config.TLSVerify, config.TLSTimeout = true, true, tlsTimeout
	return password, nil
}

// tlsTimeout is how long a client may take for its handshake, in seconds.
const tlsTimeout = 5

// theAccount is the one whose users have the streams.
func theAccount(o *server.Options) (*server.Account, error) {
	var found *server.Account
	for _, u := range o.Nkeys {
		if found != nil && u.Account != found {
			return nil, errors.New("its users are of several accounts: want one, beside the system's")
		}
		found = u.Account
	}
	if found == nil {
		return nil, errors.New("it has no users with nkeys")
	}
	return found, nil
}
