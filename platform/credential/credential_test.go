package credential_test

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nkeys"
	"github.com/spf13/pflag"

	"github.com/spotserve/spotserve/platform/credential"
)

func TestCheck(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	dir := t.TempDir()
	good, foreign := a.worker("node-0"), other.worker("node-0")
	past := a.pair("past", time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour))
	future := a.pair("future", time.Now().Add(time.Hour), time.Now().Add(2*time.Hour))
	userSeed, _ := seed(t, nkeys.CreateUser)
	accountSeed, _ := seed(t, nkeys.CreateAccount)
	file := func(name, text string, mode os.FileMode) string {
		return write(t, filepath.Join(dir, name), text, mode)
	}
	nkey := file("nkey", userSeed+"\n", 0o600)
	with := func(change func(*credential.Files)) credential.Files {
		f := good
		change(&f)
		return f
	}
	keyText := read(t, good.Key)
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		files credential.Files
		want  []string // nil: nothing is wrong
	}{
		{name: "nothing", files: credential.Files{}},
		{name: "a pair", files: good},
		{name: "an authority alone", files: credential.Files{CA: good.CA}},
		{name: "everything", files: with(func(f *credential.Files) {
			f.NKey, f.StorePassword = nkey, file("password", "s3cret\n", 0o600)
		})},
		{name: "an authority in between", files: a.between()},
		{name: "a group may read", files: credential.Files{NKey: file("group", userSeed, 0o440)}},
		{name: "a decorated seed", files: credential.Files{NKey: file("decorated", "-----BEGIN USER NKEY SEED-----\n"+userSeed+"\n------END USER NKEY SEED------\n", 0o600)}},

		{"no such authority", credential.Files{CA: dir + "/none"}, []string{"--tls-ca " + dir + "/none", "no such file"}},
		{"no such seed", credential.Files{NKey: dir + "/none"}, []string{"--nats-nkey " + dir + "/none", "no such file"}},
		{"no such password", credential.Files{NATSPassword: dir + "/none"}, []string{"--nats-password-file " + dir + "/none", "no such file"}},
		{"a pipe", credential.Files{StorePassword: pipe}, []string{"--store-password-file " + pipe, "special file"}},
		{"a folder", credential.Files{StorePassword: dir}, []string{"--store-password-file", "folder"}},
		{"empty", credential.Files{StorePassword: file("empty", "", 0o600)}, []string{"--store-password-file", "empty"}},
		{"a blank password", credential.Files{StorePassword: file("blank", "\n", 0o600)}, []string{"--store-password-file", "empty"}},
		{"two passwords", credential.Files{StorePassword: file("two", "s3cret\ns3cret2\n", 0o600)}, []string{"more than one line"}},
		{"too large", credential.Files{CA: file("large", strings.Repeat("x", 2<<20), 0o600)}, []string{"--tls-ca", "2097152", "1048576"}},
		{"everybody may read the key", with(func(f *credential.Files) { f.Key = file("open.key", keyText, 0o604) }),
			[]string{"--tls-key", "open.key", "0604", "chmod 600"}},
		{"everybody may read the seed", credential.Files{NKey: file("open.nk", userSeed, 0o644)}, []string{"--nats-nkey", "0644", "chmod 600"}},
		{"everybody may write the password", credential.Files{NATSPassword: file("open", "s3cret", 0o602)}, []string{"--nats-password-file", "0602"}},
		{"everybody may write the authority", credential.Files{CA: file("open.ca", read(t, good.CA), 0o646)}, []string{"--tls-ca", "0646", "chmod 644"}},
		{"everybody may write the certificate", with(func(f *credential.Files) { f.Cert = file("open.crt", read(t, good.Cert), 0o666) }), []string{"--tls-cert", "0666"}},
		{"a certificate alone", credential.Files{CA: good.CA, Cert: good.Cert}, []string{"--tls-cert and --tls-key"}},
		{"a pair without authority", credential.Files{Cert: good.Cert, Key: good.Key}, []string{"--tls-cert without --tls-ca"}},
		{"seed and password", credential.Files{NKey: nkey, NATSPassword: nkey}, []string{"--nats-nkey and --nats-password-file"}},
		{"no pair", with(func(f *credential.Files) { f.Key = past.Key }), []string{"--tls-key " + past.Key, "no pair"}},
		{"not a key", with(func(f *credential.Files) { f.Key = file("not.key", "s3cret", 0o600) }), []string{"no pair"}},
		{"expired", past, []string{"--tls-cert " + past.Cert, "expired at", "--renew"}},
		{"not yet", future, []string{"--tls-cert " + future.Cert, "holds from", "clock"}},
		{"another authority", with(func(f *credential.Files) { f.CA = foreign.CA }), []string{"--tls-cert", "it is none of --tls-ca"}},
		{"no authority", credential.Files{CA: good.Cert}, []string{"--tls-ca", "not an authority's"}},
		{"a key for an authority", credential.Files{CA: good.Key}, []string{"--tls-ca", "PRIVATE KEY"}},
		{"not PEM", credential.Files{CA: file("ca.txt", "s3cret", 0o600)}, []string{"--tls-ca", "no certificate"}},
		{"a seed of an account", credential.Files{NKey: file("account.nk", accountSeed, 0o600)}, []string{"--nats-nkey", "not a user's", "SU"}},
		{"no seed", credential.Files{NKey: file("no.nk", "s3cret", 0o600)}, []string{"--nats-nkey", "no nkey seed"}},
		{"a cut seed", credential.Files{NKey: file("cut.nk", userSeed[:20], 0o600)}, []string{"--nats-nkey", "no nkey seed"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.files.Check()
			if tt.want == nil {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil {
				t.Fatalf("nothing is wrong; want %q", tt.want)
			}
			for _, part := range tt.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
			for _, secret := range []string{"s3cret", userSeed[:20], accountSeed[:20], strings.Split(keyText, "\n")[1]} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("%q shows a secret", err)
				}
			}
		})
	}
}

func TestFlags(t *testing.T) {
	var f credential.Files
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	f.AddFlags(fs)
	if err := fs.Parse([]string{
		"--tls-ca=a", "--tls-cert=b", "--tls-key=c", "--nats-nkey=d", "--nats-password-file=e", "--store-password-file=f",
	}); err != nil {
		t.Fatal(err)
	}
	if want := (credential.Files{CA: "a", Cert: "b", Key: "c", NKey: "d", NATSPassword: "e", StorePassword: "f"}); f != want {
		t.Errorf("got %+v, want %+v", f, want)
	}
	if !f.TLS() || (credential.Files{Cert: "b"}).TLS() {
		t.Error("TLS is not that an authority is named")
	}
}

func TestNoTLS(t *testing.T) {
	config, err := credential.Files{}.Client()
	if config != nil || err != nil {
		t.Errorf("got %v, %v; want none", config, err)
	}
}

// A seed and a password are read at each use, so a new one needs no new process.
func TestSecretsAreReadAgain(t *testing.T) {
	dir := t.TempDir()
	first, firstKey := seed(t, nkeys.CreateUser)
	second, secondKey := seed(t, nkeys.CreateUser)
	path := write(t, filepath.Join(dir, "nk"), first, 0o600)
	word := write(t, filepath.Join(dir, "word"), "one\n", 0o600)
	files := credential.Files{NATSPassword: word, StorePassword: word}
	for _, step := range []struct{ seed, key, word string }{{first, firstKey, "one"}, {second, secondKey, "two"}} {
		write(t, path, step.seed, 0o600)
		write(t, word, step.word+"\r\n", 0o600)
		if key, err := credential.PublicKey(path); key != step.key || err != nil {
			t.Errorf("got %s, %v; want %s", key, err, step.key)
		}
		signature, err := credential.Sign(path, []byte("nonce"))
		if err != nil {
			t.Fatal(err)
		}
		public, err := nkeys.FromPublicKey(step.key)
		if err != nil {
			t.Fatal(err)
		}
		if err := public.Verify([]byte("nonce"), signature); err != nil {
			t.Error(err)
		}
		for _, read := range []func() (string, error){files.ReadNATSPassword, files.ReadStorePassword} {
			if got, err := read(); got != step.word || err != nil {
				t.Errorf("got %q, %v; want %q", got, err, step.word)
			}
		}
	}
	if got, err := (credential.Files{}).ReadStorePassword(); got != "" || err != nil {
		t.Errorf("without a file: %q, %v", got, err)
	}
}

// A pair is read again when its files change; half a change, and one that cannot
// be read, leave the old one.
func TestRotation(t *testing.T) {
	a := newAuthority(t)
	files := a.worker("node-0")
	client, err := files.Client()
	if err != nil {
		t.Fatal(err)
	}
	peer, err := files.Peer("node-0")
	if err != nil {
		t.Fatal(err)
	}
	number := func() [2]int64 {
		t.Helper()
		mine, err := client.GetClientCertificate(&tls.CertificateRequestInfo{})
		if err != nil {
			t.Fatal(err)
		}
		served, err := peer.Server.GetCertificate(&tls.ClientHelloInfo{})
		if err != nil {
			t.Fatal(err)
		}
		return [2]int64{mine.Leaf.SerialNumber.Int64(), served.Leaf.SerialNumber.Int64()}
	}
	first := number()
	later := func(path string) {
		t.Helper()
		at := time.Now().Add(time.Minute) // a file system may count whole seconds
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	oldKey, err := os.ReadFile(files.Key)
	if err != nil {
		t.Fatal(err)
	}
	a.worker("node-0") // replaces both files
	newKey, err := os.ReadFile(files.Key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, files.Key, string(oldKey), 0o600)
	later(files.Cert)
	if got := number(); got != first {
		t.Errorf("after half a change: certificates %v; want %v", got, first)
	}
	write(t, files.Key, string(newKey), 0o600)
	later(files.Key)
	second := number()
	if second[0] <= first[0] || second[1] != second[0] {
		t.Errorf("after the change: certificates %v; want one newer than %v", second, first)
	}
	write(t, files.Cert, "broken", 0o644)
	if got := number(); got != second {
		t.Errorf("after a broken change: certificates %v; want %v", got, second)
	}
}
