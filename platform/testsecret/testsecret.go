// Package testsecret has the secrets that tests use, and finds them again where
// none may be: in what programs print and log.
//
// A password of a test is Password's, so that it can be told from any other
// text. Seeds of nkeys and private keys in PEM can be told by their form, so
// tests make real ones. CI sets [LogFolder], keeps what its steps and the
// processes of tests write, and fails if Find finds a secret in it.
package testsecret

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// LogFolder is the environment variable that names the folder for Keep.
const LogFolder = "SPOTSERVE_TEST_LOGS"

// mark starts every password of a test. It is the same in URLs, JSON, YAML and
// shells, none of which has to escape it.
const mark = "spotserve-test-secret-"

// Password returns a new password that Find recognises.
func Password() string { return mark + strings.ToLower(rand.Text()) }

// Keep returns a writer for what the process or server of that name writes
// during the test: a new file in the folder that LogFolder names, nothing if
// it names none.
func Keep(t testing.TB, name string) io.Writer {
	t.Helper()
	dir := os.Getenv(LogFolder)
	if dir == "" {
		return io.Discard
	}
	plain := strings.Map(func(r rune) rune {
		if strings.ContainsRune("/*\\ ", r) {
			return '-'
		}
		return r
	}, t.Name()+"-"+name)
	f, err := os.CreateTemp(dir, plain[:min(len(plain), 128)]+"-*.log")
	if err != nil {
		t.Fatalf("%s: %v", LogFolder, err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Errorf("%s: %v", LogFolder, err)
		}
	})
	return f
}

// Leak is a place where a secret is shown.
type Leak struct {
	Line int    // from 1
	What string // the kind of secret, never the secret
}

// String is "line 3: seed of an nkey".
func (l Leak) String() string { return fmt.Sprintf("line %d: %s", l.Line, l.What) }

var kinds = []struct {
	what string
	form *regexp.Regexp
}{
	{"seed of an nkey", regexp.MustCompile(`\bS[ACNOUX][A-Z2-7]{56}\b`)},
	{"private key in PEM", regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY-----`)},
	{"password of a test", regexp.MustCompile(regexp.QuoteMeta(mark))},
	{"password of a test in base64", regexp.MustCompile(strings.Join(inBase64(mark), "|"))},
	// What Redacted of net/url puts in place of a password may be shown, and
	// so may the words with which help and errors show the form of a URL.
	{"password in a URL", regexp.MustCompile(`\b[a-z][a-z0-9+.-]*://[^\s/:@"'` + "`" + `]+:[^\s/@"'` + "`" + `]+@`)},
}

var maskedURL = regexp.MustCompile(`:(xxxxx|\*+|password\]?)@$`)

// Find lists the secrets in text, in the order of their lines.
func Find(text []byte) []Leak {
	var leaks []Leak
	for _, k := range kinds {
		for _, at := range k.form.FindAllIndex(text, -1) {
			if maskedURL.Match(text[at[0]:at[1]]) {
				continue
			}
			leaks = append(leaks, Leak{Line: 1 + bytes.Count(text[:at[0]], []byte("\n")), What: k.what})
		}
	}
	slices.SortStableFunc(leaks, func(a, b Leak) int { return cmp.Compare(a.Line, b.Line) })
	return leaks
}

// inBase64 is what base64 makes of s after 0, 1 and 2 bytes of other text: the
// characters that depend on s alone.
func inBase64(s string) []string {
	var forms []string
	for before := range 3 {
		code := base64.StdEncoding.EncodeToString([]byte(strings.Repeat(" ", before) + s))
		mixed := (before*4 + 2) / 3 // the characters that hold a bit of the text before
		whole := (before + len(s)) / 3 * 4
		forms = append(forms, code[mixed:whole])
	}
	return forms
}
