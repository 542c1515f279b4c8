package deploy_test

import (
	"crypto/x509"
	"encoding/pem"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spotserve/spotserve/cmd/spotserve/internal/deploy"
	"github.com/spotserve/spotserve/platform/access"
	"github.com/spotserve/spotserve/platform/credential"
)

// tree is the files below a folder, by path, with their content.
func tree(t *testing.T, folder string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	err := filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		name, _ := filepath.Rel(folder, path)
		files[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// changed are the files that differ, or that one has not.
func changed(before, after map[string]string) (names []string) {
	for name, text := range after {
		if old, ok := before[name]; !ok || old != text {
			names = append(names, name)
		}
	}
	for name := range before {
		if _, ok := after[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// done is what was said of the files that were not kept.
func done(r deploy.Result) (said []string) {
	for _, s := range r.Steps {
		if s.Done != "kept" {
			said = append(said, s.Done+" "+s.Path)
		}
	}
	slices.Sort(said)
	return said
}

func certificate(t *testing.T, path string) *x509.Certificate {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// TestKeys: all credentials pass the check of the programs that read them, and
// secrets are their owner's alone.
func TestKeys(t *testing.T) {
	o := options(t, "node-0", "ip-10-0-0-1.ec2.internal", "odd/node")
	o.Hosts = []string{"nats-1.example.com", "10.0.0.7", "*.nats.svc"}
	r := keys(t, o)
	want := []string{"trace-replayer", "planner", "worker-ip-10-0-0-1.ec2.internal", "worker-node-0", "worker-odd%2Fnode", "collector", "plotter", "operator", "client"}
	var got []string
	for _, u := range r.Users {
		got = append(got, u.Name())
		f := deploy.Files(o.Out, u)
		if err := f.Check(); err != nil {
			t.Errorf("%s: %v", u.Name(), err)
		}
		if u.Role == access.Worker {
			if _, err := f.Peer(u.Node); err != nil {
				t.Errorf("%s: %v", u.Name(), err)
			}
		}
		cert := certificate(t, f.Cert)
		server := slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
		if server != (u.Role == access.Worker) || len(cert.DNSNames)+len(cert.IPAddresses) > 0 || !strings.HasPrefix(cert.URIs[0].String(), "spotserve://"+string(u.Role)) {
			t.Errorf("%s: the certificate is a server's: %t, for %v %v", u.Name(), server, cert.DNSNames, cert.URIs)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("users %q, want %q", got, want)
	}
	for _, server := range []string{deploy.NATS, deploy.ClickHouse} {
		f := deploy.ServerFiles(o.Out, server)
		if err := f.Check(); err != nil {
			t.Error(err)
		}
		cert := certificate(t, f.Cert)
		for _, host := range []string{"nats-1.example.com", "10.0.0.7", "nats-0.nats.svc", "localhost", "127.0.0.1", "::1"} {
			if err := cert.VerifyHostname(host); err != nil {
				t.Error(err)
			}
		}
		if cert.NotAfter.Sub(now.AddDate(0, 0, o.Days)).Abs() > time.Second {
			t.Errorf("it holds to %s, want %d days from %s", cert.NotAfter, o.Days, now)
		}
	}
	for name := range tree(t, o.Out) {
		info, err := os.Stat(filepath.Join(o.Out, name))
		if err != nil {
			t.Fatal(err)
		}
		secret := strings.HasSuffix(name, ".key") || strings.HasSuffix(name, ".nk")
		if mode := info.Mode().Perm(); secret && mode != 0o600 || mode != 0o600 && mode != 0o644 {
			t.Errorf("%s has mode %04o", name, mode)
		}
	}
	wantNoSecrets(t, tree(t, o.Out)["nats/auth.conf"], o.Out)
	for _, s := range r.Steps {
		wantNoSecrets(t, s.Path+s.What, o.Out)
	}
}

// TestKeysAreKept: what is there stays, also when a node is added. Only --renew
// makes certificates anew, and then authority and users stay.
func TestKeysAreKept(t *testing.T) {
	o := options(t, "node-0")
	first := keys(t, o)
	before := tree(t, o.Out)
	again := keys(t, deploy.Options{Out: o.Out, Days: 2, Now: now})
	if names := changed(before, tree(t, o.Out)); len(names) > 0 || len(done(again)) > 0 {
		t.Errorf("the second time changes %q and says %q", names, done(again))
	}
	if !slices.Equal(first.Users, again.Users) {
		t.Errorf("users %v, then %v", first.Users, again.Users)
	}

	o.Nodes = []string{"node-1"}
	added := keys(t, o)
	after := tree(t, o.Out)
	if got, want := changed(before, after), []string{
		"nats/auth.conf", "worker-node-1/ca.crt", "worker-node-1/nats.nk", "worker-node-1/tls.crt", "worker-node-1/tls.key",
	}; !slices.Equal(got, want) {
		t.Errorf("a new node changes %q, want %q", got, want)
	}
	if got, want := done(added), []string{"changed nats/auth.conf", "made worker-node-1/nats.nk", "made worker-node-1/tls.crt"}; !slices.Equal(got, want) {
		t.Errorf("it says %q, want %q", got, want)
	}
	if len(added.Users) != len(first.Users)+1 {
		t.Errorf("users %v", added.Users)
	}

	o.Renew, o.Nodes = true, nil
	renewed := keys(t, o)
	for _, name := range changed(after, tree(t, o.Out)) {
		if base := filepath.Base(name); base != "tls.crt" && base != "tls.key" && base != "server.crt" && base != "server.key" {
			t.Errorf("--renew changes %s", name)
		}
	}
	if got := len(done(renewed)); got != 2+len(added.Users) {
		t.Errorf("--renew makes %d certificates anew: %q", got, done(renewed))
	}
	for _, u := range renewed.Users {
		if err := deploy.Files(o.Out, u).Check(); err != nil {
			t.Error(err)
		}
	}
}

// A node whose folder is gone is no user any more, and a seed that was moved away
// is replaced.
func TestUsersFollowTheFolders(t *testing.T) {
	o := options(t, "node-0", "node-1")
	before := keys(t, o)
	o.Nodes = nil
	if err := os.RemoveAll(filepath.Join(o.Out, "worker-node-1")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(o.Out, "planner", "nats.nk")); err != nil {
		t.Fatal(err)
	}
	keys(t, o)
	text := tree(t, o.Out)["nats/auth.conf"]
	for _, u := range before.Users {
		gone := u.Name() == "worker-node-1" || u.Name() == "planner"
		if strings.Contains(text, u.Key) == gone {
			t.Errorf("%s with its old key: it is a user is %t", u.Name(), !gone)
		}
	}
	if key, err := credential.PublicKey(filepath.Join(o.Out, "planner", "nats.nk")); err != nil || !strings.Contains(text, key) {
		t.Errorf("the planner's new key %s is no user's: %v", key, err)
	}
}

// TestAFolderBehindALink is one of the deployment's.
func TestAFolderBehindALink(t *testing.T) {
	o := options(t, "node-0")
	before := keys(t, o)
	folder, moved := filepath.Join(o.Out, "worker-node-0"), filepath.Join(t.TempDir(), "moved")
	if err := os.Rename(folder, moved); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(moved, folder); err != nil {
		t.Fatal(err)
	}
	o.Nodes = nil
	if after := keys(t, o); !slices.Equal(after.Users, before.Users) {
		t.Errorf("the users are %v, were %v", after.Users, before.Users)
	}
}

// TestHosts: a server's certificate that lacks a host is not made anew unless
// somebody says so, and keeps the hosts that it has.
func TestHosts(t *testing.T) {
	o := options(t)
	o.Hosts = []string{"nats-1"}
	keys(t, o)
	before := tree(t, o.Out)
	o.Hosts = []string{"nats-2"}
	_, err := deploy.Keys(o)
	if err == nil || !strings.Contains(err.Error(), "nats-2") || !strings.Contains(err.Error(), "--renew") || len(changed(before, tree(t, o.Out))) > 0 {
		t.Errorf("another host: %v, changed %q", err, changed(before, tree(t, o.Out)))
	}
	o.Renew = true
	keys(t, o)
	for _, host := range []string{"nats-1", "nats-2", "localhost"} {
		if err := certificate(t, deploy.ServerFiles(o.Out, deploy.NATS).Cert).VerifyHostname(host); err != nil {
			t.Error(err)
		}
	}
}

func TestKeysRefuse(t *testing.T) {
	whole := func(t *testing.T, o deploy.Options) {
		t.Helper()
		keys(t, o)
	}
	remove := func(name string) func(*testing.T, deploy.Options) {
		return func(t *testing.T, o deploy.Options) {
			t.Helper()
			keys(t, o)
			if err := os.Remove(filepath.Join(o.Out, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, tt := range map[string]struct {
		change func(*deploy.Options)
		before func(*testing.T, deploy.Options)
		want   []string
	}{
		"no days":           {func(o *deploy.Options) { o.Days = 0 }, nil, []string{"--days 0", "1 to 3650"}},
		"too many days":     {func(o *deploy.Options) { o.Days = 4000 }, nil, []string{"--days 4000"}},
		"every node":        {func(o *deploy.Options) { o.Nodes = []string{"*"} }, nil, []string{`--node "*"`, "one node"}},
		"no node":           {func(o *deploy.Options) { o.Nodes = []string{""} }, nil, []string{"--node"}},
		"a node twice":      {func(o *deploy.Options) { o.Nodes = []string{"a", "a"} }, nil, []string{"--node a", "twice"}},
		"a host with port":  {func(o *deploy.Options) { o.Hosts = []string{"nats-1:4222"} }, nil, []string{"--host", "without a port"}},
		"a URL":             {func(o *deploy.Options) { o.Hosts = []string{"tls://nats-1"} }, nil, []string{"--host"}},
		"half an authority": {nil, remove("ca.key"), []string{"ca.crt", "no key"}},
		"the other half":    {nil, remove("ca.crt"), []string{"ca.key", "no certificate"}},
		"half a pair":       {nil, remove("planner/tls.key"), []string{"planner/tls.crt", "no key"}},
		"a broken seed": {nil, func(t *testing.T, o deploy.Options) {
			t.Helper()
			whole(t, o)
			if err := os.WriteFile(filepath.Join(o.Out, "client", "nats.nk"), []byte("s3cret"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, []string{"client/nats.nk", "no nkey seed"}},
		"another authority": {nil, func(t *testing.T, o deploy.Options) {
			t.Helper()
			whole(t, o)
			other := options(t)
			whole(t, other)
			for _, name := range []string{"ca.crt", "ca.key"} {
				text, err := os.ReadFile(filepath.Join(other.Out, name))
				if err == nil {
					err = os.WriteFile(filepath.Join(o.Out, name), text, 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
		}, []string{"nats/ca.crt", "another set"}},
		"a folder of another node": {nil, func(t *testing.T, o deploy.Options) {
			t.Helper()
			whole(t, o)
			if err := os.Rename(filepath.Join(o.Out, "worker-node-0"), filepath.Join(o.Out, "worker-node-9")); err != nil {
				t.Fatal(err)
			}
		}, []string{"worker-node-9/tls.crt"}},
		"a worker without its certificate": {func(o *deploy.Options) { o.Nodes = nil }, func(t *testing.T, o deploy.Options) {
			t.Helper()
			o.Nodes = []string{"node-0"}
			whole(t, o)
			for _, name := range []string{"tls.crt", "tls.key"} {
				if err := os.Remove(filepath.Join(o.Out, "worker-node-0", name)); err != nil {
					t.Fatal(err)
				}
			}
		}, []string{"worker-node-0/tls.crt", "--node", "remove the folder"}},
		"an authority that expired": {func(o *deploy.Options) { o.Now = now.AddDate(11, 0, 0) }, func(t *testing.T, o deploy.Options) {
			t.Helper()
			o.Now = now
			whole(t, o)
		}, []string{"ca.crt expired"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(t, "node-0")
			if tt.change != nil {
				tt.change(&o)
			}
			if tt.before != nil {
				tt.before(t, o)
			}
			_, err := deploy.Keys(o)
			if err == nil {
				t.Fatal("they are made")
			}
			for _, part := range tt.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
			if strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%q shows a secret", err)
			}
		})
	}
}

// A certificate that expires, or has, is said to, and stays.
func TestExpiryIsSaid(t *testing.T) {
	o := options(t)
	keys(t, o)
	for days, want := range map[int]string{1: "which is soon", 3: "EXPIRED"} {
		o.Now = now.AddDate(0, 0, days)
		r := keys(t, o)
		i := slices.IndexFunc(r.Steps, func(s deploy.Step) bool { return s.Path == "planner/tls.crt" })
		if s := r.Steps[i]; s.Done != "kept" || !strings.Contains(s.What, want) || !strings.Contains(s.What, "--renew") {
			t.Errorf("after %d days it says %+v, want %s", days, s, want)
		}
	}
}
