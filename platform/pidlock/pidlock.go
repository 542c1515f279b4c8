// Package pidlock gives a folder or file to one live process, and tells others
// which one that is.
package pidlock

import (
	"errors"
	"os"
	"strconv"
	"strings"

	"github.com/gofrs/flock"
)

// HeldError says that another process holds a lock.
type HeldError struct {
	Path  string // of the lock file
	Owner string // "the process with pid 17"; "another process" if it does not say
}

func (e *HeldError) Error() string { return e.Owner + " holds " + e.Path }

// Take takes the lock at path and leaves this process's id in it, for everyone
// to read. The operating system frees the lock when the process ends, however
// it ends, so the file stays where it is and means nothing by itself. If
// another process holds it the error is a *HeldError.
func Take(path string) (*flock.Flock, error) {
	lock := flock.New(path, flock.SetPermissions(0o644))
	locked, err := lock.TryLock()
	if err != nil {
		return nil, err
	}
	if !locked {
		return nil, &HeldError{Path: path, Owner: owner(path)}
	}
	if err := os.WriteFile(path, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o644); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

func owner(path string) string {
	text, err := os.ReadFile(path)
	pid := strings.TrimSpace(string(text))
	if err != nil || pid == "" {
		return "another process"
	}
	return "the process with pid " + pid
}
