// Package deploy makes what a deployment of the services needs and has no other
// place: its keys.
package deploy

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spotserve/spotserve/platform/access"
	"github.com/spotserve/spotserve/platform/credential"
)

// Options say which keys are made.
type Options struct {
	Out   string   // the folder
	Nodes []string // whose workers get credentials
	Hosts []string // names and addresses of the servers, beside this host's own
	Days  int      // how long certificates hold; the authority's own holds longer
	Renew bool     // make certificates anew that are there
	Now   time.Time
}

// Step is one thing that was done, or found.
type Step struct {
	Path string // below the folder
	Done string // made, renewed, kept
	What string
}

// Result is what there is afterwards.
type Result struct {
	Steps []Step
	Users []access.User
}

// The files of a folder of credentials.
const (
	caCert   = "ca.crt"
	caKey    = "ca.key"
	roleCert = "tls.crt"
	roleKey  = "tls.key"
	roleSeed = "nats.nk"
	authConf = "auth.conf"
)

// The servers, which show a certificate with the names of hosts.
const (
	NATS       = "nats"
	ClickHouse = "clickhouse"
)

var servers = []string{NATS, ClickHouse}

const (
	serverCert = "server.crt"
	serverKey  = "server.key"
)

// localHosts are in every server's certificate.
var localHosts = []string{"localhost", "127.0.0.1", "::1"}

// Keys makes the keys of a deployment below a folder, as far as they are not
// there: an authority, a pair for each server, and a folder with a pair and an
// nkey for each role and each node's worker. What is there stays, but for
// certificates that are to be renewed, and for the server's list of users, which
// is made of the users that there are.
func Keys(o Options) (Result, error) {
	s := &set{Options: o}
	s.Hosts = slices.Clone(o.Hosts)
	for i, host := range s.Hosts {
		if ip := net.ParseIP(host); ip != nil {
			s.Hosts[i] = ip.String()
		}
	}
	if err := s.check(); err != nil {
		return Result{}, err
	}
	if err := os.MkdirAll(o.Out, 0o700); err != nil {
		return Result{}, err
	}
	if err := s.all(); err != nil {
		return Result{}, err
	}
	return s.result, nil
}

// set is the folder.
type set struct {
	Options
	authority *authority
	result    Result
}

func (s *set) path(parts ...string) string {
	return filepath.Join(append([]string{s.Out}, parts...)...)
}

func (s *set) step(done, what string, parts ...string) {
	s.result.Steps = append(s.result.Steps, Step{Path: filepath.Join(parts...), Done: done, What: what})
}

// check refuses what no certificate can name, before anything is made.
func (s *set) check() error {
	if s.Days < 1 || s.Days > caDays {
		return fmt.Errorf("--days %d: allowed are 1 to %d", s.Days, caDays)
	}
	for i, node := range s.Nodes {
		if node == "" || strings.ContainsFunc(node, func(r rune) bool { return r <= ' ' || r > '~' || r == '*' || r == '>' }) {
			return fmt.Errorf("--node %q: want the name of one node, of visible ASCII without * and >", node)
		}
		if slices.Contains(s.Nodes[:i], node) {
			return fmt.Errorf("--node %s is given twice", node)
		}
	}
	for _, host := range s.Hosts {
		name := strings.TrimPrefix(host, "*.")
		if net.ParseIP(host) == nil && (name == "" || strings.Trim(name, ".") != name || strings.ContainsFunc(name, func(r rune) bool {
			return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '.')
		})) {
			return fmt.Errorf("--host %q: want a name, nats-1.example.com for example, or an address, without a port", host)
		}
	}
	return nil
}

func (s *set) all() (err error) {
	if s.authority, err = s.openAuthority(); err != nil {
		return err
	}
	for _, name := range servers {
		if err := s.server(name); err != nil {
			return err
		}
	}
	users, err := s.users()
	if err != nil {
		return err
	}
	for i := range users {
		if err := s.user(&users[i]); err != nil {
			return err
		}
	}
	s.result.Users = users
	return s.permissions(users)
}

// users are those of all roles, of the nodes that are asked for and of those that
// have a folder.
func (s *set) users() (users []access.User, err error) {
	nodes := slices.Clone(s.Nodes)
	entries, err := os.ReadDir(s.Out)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), string(access.Worker)+"-") || !isFolder(s.path(e.Name())) {
			continue
		}
		cert, err := readCert(s.path(e.Name(), roleCert))
		missing := errors.Is(err, fs.ErrNotExist)
		switch {
		case missing && slices.ContainsFunc(s.Nodes, func(node string) bool { return worker(node).Name() == e.Name() }):
			continue // it is about to be made
		case missing:
			// Without it the worker would be no user any more, and nobody would know.
			return nil, fmt.Errorf("%s is not there: name its --node to make it anew, or remove the folder if the node is gone", s.path(e.Name(), roleCert))
		case err != nil:
			return nil, err
		}
		of := credential.WorkerNodes(cert)
		if len(of) != 1 || worker(of[0]).Name() != e.Name() {
			return nil, fmt.Errorf("%s: it is not of the worker that its folder is for: move it away", s.path(e.Name(), roleCert))
		}
		nodes = append(nodes, of[0])
	}
	slices.Sort(nodes)
	for _, role := range access.Roles() {
		if role != access.Worker {
			users = append(users, access.User{Role: role})
			continue
		}
		for _, node := range slices.Compact(nodes) {
			users = append(users, worker(node))
		}
	}
	return users, nil
}

// isFolder reports whether there is a folder, also behind a link.
func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func worker(node string) access.User { return access.User{Role: access.Worker, Node: node} }

// user makes the folder of a user, and fills its public key in.
func (s *set) user(u *access.User) (err error) {
	id, use := credential.RoleID(string(u.Role)), clientUse
	if u.Role == access.Worker {
		id, use = credential.WorkerID(u.Node), bothUses
	}
	what := "the " + u.Name()
	if err := s.pair(u.Name(), roleCert, roleKey, what, identity{name: string(u.Role), ids: []*url.URL{id}, use: use}); err != nil {
		return err
	}
	u.Key, err = s.seed(u.Name())
	return err
}

// server makes the folder of a server. Its certificate has to be for all hosts
// that are asked for.
func (s *set) server(name string) error {
	hosts := append(slices.Clone(localHosts), s.Hosts...)
	path := s.path(name, serverCert)
	cert, err := readCert(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	default:
		for _, host := range s.Hosts {
			if !isFor(cert, host) && !s.Renew {
				return fmt.Errorf("%s is not for the host %s: --renew makes it anew, for this one too", path, host)
			}
		}
		hosts = append(hosts, certHosts(cert)...)
	}
	slices.Sort(hosts)
	return s.pair(name, serverCert, serverKey, "the server of "+name, identity{name: name, hosts: slices.Compact(hosts), use: bothUses})
}

// permissions writes the list of the server's users.
func (s *set) permissions(users []access.User) error {
	path, text := UsersFile(s.Out), access.Config(users)
	before, err := os.ReadFile(path)
	done := "made"
	switch {
	case err == nil && string(before) == text:
		done = "kept"
	case err == nil:
		done = "changed"
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if done != "kept" {
		if err := write(path, []byte(text), public); err != nil {
			return err
		}
	}
	s.step(done, fmt.Sprintf("%d users and what each may do", len(users)), NATS, authConf)
	return nil
}
