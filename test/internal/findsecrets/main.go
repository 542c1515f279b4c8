// Command findsecrets searches every file of the folders that it is given for
// secrets of tests, and fails if it finds one. It shows where they are, never
// what they are.
package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spotserve/spotserve/platform/testsecret"
)

func main() {
	if err := search(os.Stdout, os.Args[1:]); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "findsecrets:", err)
		os.Exit(1)
	}
}

// search tells w of every secret below the folders. Finding one is an error,
// and so is finding no text to search.
func search(w io.Writer, folders []string) error {
	files, size, leaks := 0, 0, 0
	for _, folder := range folders {
		err := filepath.WalkDir(folder, func(file string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			text, err := os.ReadFile(file) //nolint:gosec // its caller names the folder
			if err != nil {
				return err
			}
			files, size = files+1, size+len(text)
			for _, leak := range testsecret.Find(text) {
				leaks++
				_, _ = fmt.Fprintf(w, "%s: %s\n", file, leak)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	switch {
	case size == 0:
		return fmt.Errorf("nothing to search in %q", folders)
	case leaks > 0:
		return errors.New("secrets must not be printed or logged")
	}
	_, _ = fmt.Fprintf(w, "no secret in %d files, %.1f MB\n", files, float64(size)/1e6)
	return nil
}
