package virtual

import "testing"

// SetChunkRows sets the size of a chunk, and how often the recorder looks at
// it, until the test ends.
func SetChunkRows(t *testing.T, rows int) {
	before, every := chunkRows, checkEvery
	chunkRows, checkEvery = rows, 16
	t.Cleanup(func() { chunkRows, checkEvery = before, every })
}
