package sqlite

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/gofrs/flock"
)

// ErrOwned is returned to a second writer of a file.
var ErrOwned = errors.New("another process writes to this store")

// own takes the lock beside the file and leaves this process's id in it. The
// operating system frees the lock when the process ends, however it ends, so
// the lock file stays where it is and means nothing by itself.
func own(path string) (*flock.Flock, error) {
	lock := flock.New(path+".lock", flock.SetPermissions(0o644)) // others may read the id
	locked, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock store %s: %w", storeName(path), err)
	}
	if !locked {
		return nil, fmt.Errorf("store %s: %w: %s holds %s; stop it, or give this one another --store",
			storeName(path), ErrOwned, ownerOf(lock.Path()), lock.Path())
	}
	if err := os.WriteFile(lock.Path(), []byte(strconv.Itoa(os.Getpid())+"\n"), 0o644); err != nil {
		return nil, errors.Join(fmt.Errorf("lock store %s: %w", storeName(path), err), lock.Close())
	}
	return lock, nil
}

func ownerOf(lockFile string) string {
	text, err := os.ReadFile(lockFile)
	pid := strings.TrimSpace(string(text))
	if err != nil || pid == "" {
		return "a process"
	}
	return "the process with pid " + pid
}
