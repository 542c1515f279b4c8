package catalog

import (
	"errors"
	"fmt"
	"math"
)

// checker collects what is wrong with the contents of one file.
type checker struct {
	file string
	errs []error
}

// require notes the problem unless ok.
func (c *checker) require(ok bool, format string, args ...any) {
	if !ok {
		c.errs = append(c.errs, &FileError{File: c.file, Reason: fmt.Sprintf(format, args...)})
	}
}

// text requires a value.
func (c *checker) text(key, value string) {
	c.require(value != "", "%s is missing", key)
}

// positive requires a number in (0, limit].
func (c *checker) positive(key string, value, limit float64) {
	c.require(value > 0 && value <= limit, "%s is %v, allowed is above 0 up to %v", key, value, limit)
}

// notNegative requires a number in [0, limit].
func (c *checker) notNegative(key string, value, limit float64) {
	c.require(value >= 0 && value <= limit, "%s is %v, allowed is 0 to %v", key, value, limit)
}

// count requires a whole number in [1, limit].
func (c *checker) count(key string, value, limit int) {
	c.require(value >= 1 && value <= limit, "%s is %d, allowed is 1 to %d", key, value, limit)
}

// known requires that set has name.
func known[T any](c *checker, key, name string, set map[string]T) {
	_, ok := set[name]
	c.require(ok, "%s %q is not in the catalogue", key, name)
}

func (c *checker) err() error { return errors.Join(c.errs...) }

// gigabytes returns decimal gigabytes in bytes.
func gigabytes(gb float64) int64 { return int64(math.Round(gb * 1e9)) }

// gibibytes returns binary gigabytes in bytes.
func gibibytes(gib float64) int64 { return int64(math.Round(gib * (1 << 30))) }
