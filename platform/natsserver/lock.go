package natsserver

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/gofrs/flock"
)

// own takes the lock in dir and leaves this process's id in it. The operating
// system frees the lock when the process ends, however it ends, so the file
// stays where it is and means nothing by itself.
func own(dir string) (*flock.Flock, error) {
	lock := flock.New(filepath.Join(dir, "jetstream.lock"))
	locked, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("embedded NATS server: lock its store: %w", err)
	}
	if !locked {
		return nil, fmt.Errorf("embedded NATS server: %s uses the store in %s; stop it, join it with --nats URL, or choose another folder", owner(lock.Path()), dir)
	}
	if err := os.WriteFile(lock.Path(), []byte(strconv.Itoa(os.Getpid())+"\n"), 0o644); err != nil {
		return nil, errors.Join(fmt.Errorf("embedded NATS server: lock its store: %w", err), lock.Close())
	}
	return lock, nil
}

func owner(lockFile string) string {
	text, err := os.ReadFile(lockFile)
	pid := strings.TrimSpace(string(text))
	if err != nil || pid == "" {
		return "another process"
	}
	return "the process with pid " + pid
}
