package sqlite

import (
	"context"
	"os"
)

// Schema returns the version of the file's tables and the one that this build
// knows. It is for people who look; a writer brings the tables up to date.
func (r *Reader) Schema(ctx context.Context) (have, known int, err error) {
	files, err := schemaFiles()
	if err != nil {
		return 0, 0, err
	}
	have, err = schemaVersion(ctx, r.db)
	return have, len(files), err
}

// Rights says what the file system lets this process do.
func (r *Reader) Rights(context.Context) (string, error) {
	f, err := os.OpenFile(r.path, os.O_WRONLY, 0)
	if err != nil {
		return "reads", nil //nolint:nilerr // that is the answer
	}
	return "reads and writes", f.Close()
}
