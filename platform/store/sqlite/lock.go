package sqlite

import (
	"errors"
	"fmt"

	"github.com/gofrs/flock"

	"github.com/spotserve/spotserve/platform/pidlock"
)

// ErrOwned is returned to a second writer of a file.
var ErrOwned = errors.New("another process writes to this store")

// own takes the lock beside the file for this process.
func own(path string) (*flock.Flock, error) {
	lock, err := pidlock.Take(path + ".lock")
	if held, ok := errors.AsType[*pidlock.HeldError](err); ok {
		return nil, fmt.Errorf("store %s: %w: %w; stop it, or give this one another --store", storeName(path), ErrOwned, held)
	}
	if err != nil {
		return nil, fmt.Errorf("lock store %s: %w", storeName(path), err)
	}
	return lock, nil
}
