package deploy

import (
	"path/filepath"

	"github.com/spotserve/spotserve/platform/access"
	"github.com/spotserve/spotserve/platform/credential"
)

// Files are the credentials of a user, in the folder out.
func Files(out string, u access.User) credential.Files {
	in := func(name string) string { return filepath.Join(out, u.Name(), name) }
	return credential.Files{CA: in(caCert), Cert: in(roleCert), Key: in(roleKey), NKey: in(roleSeed)}
}

// ServerFiles are the credentials of a server, NATS or ClickHouse.
func ServerFiles(out, server string) credential.Files {
	in := func(name string) string { return filepath.Join(out, server, name) }
	return credential.Files{CA: in(caCert), Cert: in(serverCert), Key: in(serverKey)}
}

// UsersFile is what a NATS server reads its users from.
func UsersFile(out string) string { return filepath.Join(out, NATS, authConf) }
