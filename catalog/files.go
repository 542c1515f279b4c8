package catalog

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// files reads the files that experiments name, each once, since the points of a
// sweep share them.
type files struct {
	fleets   map[string]Availability
	requests map[string]recorded
	measured map[string]measuredFile
	prompts  map[string][]prompt
}

func newFiles() *files {
	return &files{fleets: make(map[string]Availability), requests: make(map[string]recorded), measured: make(map[string]measuredFile), prompts: make(map[string][]prompt)}
}

// availability reads a trace by the ending of its name. That of a CSV file may
// end at its start.
func (f *files) availability(path string) (Availability, error) {
	return once(f.fleets, path, func() (Availability, error) {
		if strings.EqualFold(filepath.Ext(path), ".csv") {
			return readFile(path, readAvailabilityCSV)
		}
		return readFile(path, ReadAvailability)
	})
}

func (f *files) arrivals(path string) (recorded, error) {
	return once(f.requests, path, func() (recorded, error) { return readFile(path, readArrivals) })
}

func (f *files) measurements(path string) (measuredFile, error) {
	return once(f.measured, path, func() (measuredFile, error) { return readFile(path, readMeasured) })
}

func once[T any](known map[string]T, path string, read func() (T, error)) (T, error) {
	if value, ok := known[path]; ok {
		return value, nil
	}
	value, err := read()
	if err == nil {
		known[path] = value
	}
	return value, err
}

func readFile[T any](path string, read func(name string, r io.Reader) (T, error)) (T, error) {
	file, err := os.Open(path)
	if err != nil {
		var none T
		return none, err
	}
	defer func() { _ = file.Close() }() // only read from: nothing to lose
	return read(path, file)
}

// path is where a file of the experiment lies: relative paths are from the
// folder of the experiment's file. Pipes and devices are refused: a service that
// opened one for a start might wait for ever.
func (s *settler) path(key, path string) (string, bool) {
	c := s.doc.part("")
	switch {
	case path == "":
		c.holds(key, false, "is empty, want a path")
		return "", false
	case filepath.IsAbs(path):
	case s.doc.folder == "":
		c.holds(key, false, "is %q: a text without a folder needs absolute paths", path)
		return "", false
	default:
		path = filepath.Join(s.doc.folder, path)
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		c.holds(key, false, "is %q, which is no regular file", path)
		return "", false
	}
	return path, true
}

// noteFile notes what is wrong with a file at the key that names it: a file that
// was read says itself where.
func (s *settler) noteFile(key string, err error) {
	if err == nil {
		return
	}
	if inside, ok := errors.AsType[*FileError](err); ok {
		s.doc.errs = append(s.doc.errs, inside)
		return
	}
	s.doc.part("").requireAt(key, false, "%s: %v", key, err)
}
