package credential

import "strings"

// Who names the owner of the files in messages: by the certificate and by the
// public key of the seed, as far as there are any that can be read. It is no
// secret.
func (f Files) Who() string {
	var names []string
	if f.Cert != "" {
		if pair, err := f.load(); err == nil {
			names = append(names, owners(pair.Leaf))
		}
	}
	if f.NKey != "" {
		if key, err := PublicKey(f.NKey); err == nil {
			names = append(names, "nkey "+key)
		}
	}
	return strings.Join(names, ", ")
}
