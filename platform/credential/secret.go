package credential

import (
	"bytes"
	"errors"
	"strings"

	"github.com/nats-io/nkeys"
)

// PublicKey returns the public key of the user whose nkey seed a file holds.
func PublicKey(path string) (string, error) {
	user, err := user(path)
	if err != nil {
		return "", err
	}
	defer user.Wipe()
	key, err := user.PublicKey()
	if err != nil {
		return "", file{flagNKey, path, true}.fault("it holds no nkey seed")
	}
	return key, nil
}

// Sign signs a server's nonce with the nkey seed of a file. The file is read at
// each call, so a seed may be replaced while the process runs.
func Sign(path string, nonce []byte) ([]byte, error) {
	user, err := user(path)
	if err != nil {
		return nil, err
	}
	defer user.Wipe()
	return user.Sign(nonce)
}

// user reads a seed. It takes a file with the seed alone and one in which it
// stands between lines of dashes, as nsc writes them.
func user(path string) (nkeys.KeyPair, error) {
	f := file{flagNKey, path, true}
	text, err := f.read()
	if err != nil {
		return nil, err
	}
	defer clear(text)
	pair, err := nkeys.ParseDecoratedNKey(text)
	if err != nil {
		return nil, f.fault("it holds no nkey seed: want one line that begins with SU") // the library's error may quote it
	}
	if key, err := pair.PublicKey(); err != nil || !nkeys.IsValidPublicUserKey(key) {
		pair.Wipe()
		return nil, f.fault("its seed is not a user's: want one that begins with SU")
	}
	return pair, nil
}

// Password returns the password that a file holds, without the line's end, for
// the flag that named the file. The file is read at each call.
func Password(flag, path string) (string, error) { return file{flag, path, true}.password() }

// ReadNATSPassword returns the password of --nats-password-file; empty without
// one.
func (f Files) ReadNATSPassword() (string, error) { return optional(flagNATSPassword, f.NATSPassword) }

// ReadStorePassword returns the password of --store-password-file; empty without
// one.
func (f Files) ReadStorePassword() (string, error) {
	return optional(flagStorePassword, f.StorePassword)
}

func optional(flag, path string) (string, error) {
	if path == "" {
		return "", nil
	}
	return file{flag, path, true}.password()
}

var errLines = errors.New("it has more than one line: want the password alone")

func (f file) password() (string, error) {
	data, err := f.read()
	if err != nil {
		return "", err
	}
	text := strings.TrimRight(string(bytes.Clone(data)), "\r\n")
	switch {
	case text == "":
		return "", f.fault("it is empty")
	case strings.ContainsAny(text, "\r\n"):
		return "", f.fault("%w", errLines)
	}
	return text, nil
}
