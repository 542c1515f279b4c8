package natsserver

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/gofrs/flock"

	"github.com/spotserve/spotserve/platform/pidlock"
)

// own takes the store in dir for this process.
func own(dir string) (*flock.Flock, error) {
	lock, err := pidlock.Take(filepath.Join(dir, "jetstream.lock"))
	if held, ok := errors.AsType[*pidlock.HeldError](err); ok {
		return nil, fmt.Errorf("embedded NATS server: %s uses the store in %s; stop it, join it with --nats URL, or choose another folder", held.Owner, dir)
	}
	if err != nil {
		return nil, fmt.Errorf("embedded NATS server: lock its store: %w", err)
	}
	return lock, nil
}
