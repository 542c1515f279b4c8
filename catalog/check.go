package catalog

import (
	"errors"
	"fmt"
	"math"
)

// checker collects what is wrong with the contents of one file.
type checker struct {
	file string
	doc  *document // knows the lines; nil where only the file is known
	path string    // of the part that is checked: keys are relative to it
	errs []error
}

// part returns a checker of the part of a document at path. What it finds goes
// to the document.
func (d *document) part(path string) *checker { return &checker{file: d.file, doc: d, path: path} }

// require notes the problem unless ok.
func (c *checker) require(ok bool, format string, args ...any) { c.requireAt("", ok, format, args...) }

// requireAt is require with the key where the problem stands.
func (c *checker) requireAt(key string, ok bool, format string, args ...any) {
	if !ok {
		c.note(key, fmt.Sprintf(format, args...))
	}
}

// holds requires something of the value of a key; the problem reads on behind
// the key's name.
func (c *checker) holds(key string, ok bool, format string, args ...any) {
	if !ok {
		c.note(key, c.name(key)+" "+fmt.Sprintf(format, args...))
	}
}

// text requires a value.
func (c *checker) text(key, value string) { c.holds(key, value != "", "is missing") }

// positive requires a number in (0, limit].
func (c *checker) positive(key string, value, limit float64) {
	c.holds(key, value > 0 && value <= limit, "is %s, allowed is above 0 up to %v", c.got(key, value), limit)
}

// notNegative requires a number in [0, limit].
func (c *checker) notNegative(key string, value, limit float64) {
	c.holds(key, value >= 0 && value <= limit, "is %v, allowed is 0 to %v", value, limit)
}

// count requires a whole number in [1, limit].
func (c *checker) count(key string, value, limit int) {
	c.holds(key, value >= 1 && value <= limit, "is %s, allowed is 1 to %d", c.got(key, value), limit)
}

// got is a value in an answer; one that is 0 because nobody gave it is missing.
func (c *checker) got(key string, value any) string {
	if c.doc != nil && !c.doc.has(c.name(key)) {
		return "missing"
	}
	return fmt.Sprint(value)
}

// known requires that set has name.
func known[T any](c *checker, key, name string, set map[string]T) {
	_, ok := set[name]
	c.require(ok, "%s %q is not in the catalogue", key, name)
}

// note files a problem at the line of a key.
func (c *checker) note(key, reason string) {
	err := &FileError{File: c.file, Reason: reason}
	if c.doc == nil {
		c.errs = append(c.errs, err)
		return
	}
	err.Line = c.doc.line(c.name(key))
	c.doc.errs = append(c.doc.errs, err)
}

// name is the dotted path of a key in the file.
func (c *checker) name(key string) string {
	if key == "" {
		return c.path
	}
	return join(c.path, key)
}

func (c *checker) err() error { return errors.Join(c.errs...) }

// gigabytes returns decimal gigabytes in bytes.
func gigabytes(gb float64) int64 { return int64(math.Round(gb * 1e9)) }

// gibibytes returns binary gigabytes in bytes.
func gibibytes(gib float64) int64 { return int64(math.Round(gib * (1 << 30))) }
