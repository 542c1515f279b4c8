package wire

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// check keeps the first thing that is wrong in a message, and the path of the
// part that is being mapped.
type check struct {
	path []segment
	err  error
}

// segment is a field, or an item of a repeated field.
type segment struct {
	field string
	item  int // -1 for the field itself
}

// fail records what is wrong with a field of the part being mapped.
func (c *check) fail(field, format string, args ...any) { c.failFor(nil, field, format, args...) }

// failFor is fail for a reason that errors.Is finds.
func (c *check) failFor(reason error, field, format string, args ...any) {
	if c.err != nil {
		return
	}
	var at strings.Builder
	for _, s := range c.path {
		if s.item >= 0 {
			at.WriteString(item(s.field, s.item))
		} else {
			at.WriteString(s.field)
		}
		at.WriteByte('.')
	}
	c.err = errors.New(at.String() + field + " " + fmt.Sprintf(format, args...))
	if reason != nil {
		c.err = fmt.Errorf("%w: %w", reason, c.err)
	}
}

func (c *check) enter(field string, item int) { c.path = append(c.path, segment{field, item}) }
func (c *check) leave()                       { c.path = c.path[:len(c.path)-1] }

// count takes a number that is never negative to the wire.
func (c *check) count(field string, v int) int64 { return c.countFrom(field, 0, v) }

// countFrom takes a number that is at least low to the wire.
func (c *check) countFrom(field string, low, v int) int64 {
	if v < low {
		c.fail(field, "is %d: must be at least %d", v, low)
	}
	return int64(v)
}

// int takes a number that is never negative from the wire.
func (c *check) int(field string, v int64) int { return c.intFrom(field, 0, v) }

// intFrom takes a number that is at least low from the wire.
func (c *check) intFrom(field string, low, v int64) int {
	switch {
	case v < low:
		c.fail(field, "is %d: must be at least %d", v, low)
	case v > math.MaxInt:
		c.fail(field, "is %d: must be at most %d", v, math.MaxInt)
	}
	return int(v)
}

// counts takes a list of numbers that are never negative to the wire.
func (c *check) counts(field string, in []int) []int64 {
	if len(in) == 0 {
		return nil
	}
	out := make([]int64, len(in))
	for i, v := range in {
		out[i] = c.count(item(field, i), v)
	}
	return out
}

// ints takes a list of numbers that are never negative from the wire.
func (c *check) ints(field string, in []int64) []int {
	if len(in) == 0 {
		return nil
	}
	out := make([]int, len(in))
	for i, v := range in {
		out[i] = c.int(item(field, i), v)
	}
	return out
}

// bytes passes a number of bytes, either way.
func (c *check) bytes(field string, v int64) int64 {
	if v < 0 {
		c.fail(field, "is %d: must be at least 0", v)
	}
	return v
}

// positive passes a number that counts from 1, either way.
func (c *check) positive(field string, v uint64) uint64 {
	if v == 0 {
		c.fail(field, "is missing: it counts from 1")
	}
	return v
}

// float passes a finite number, either way.
func (c *check) float(field string, v float64) float64 {
	if !finite(v) {
		c.fail(field, "is %v: must be a finite number", v)
	}
	return v
}

// notNegative passes a finite number of at least 0, either way.
func (c *check) notNegative(field string, v float64) float64 {
	if v < 0 {
		c.fail(field, "is %v: must be at least 0", v)
	}
	return c.float(field, v)
}

// atLeast passes a finite number of at least low, either way.
func (c *check) atLeast(field string, low, v float64) float64 {
	if v < low {
		c.fail(field, "is %v: must be at least %v", v, low)
	}
	return c.float(field, v)
}

// text passes a text that must be there, either way.
func (c *check) text(field, v string) string {
	if v == "" {
		c.fail(field, "is missing")
	}
	return v
}

// texts passes a list of texts that must not be empty ones, either way.
func (c *check) texts(field string, in []string) []string {
	for i, s := range in {
		if s == "" {
			c.fail(item(field, i), "is empty")
		}
	}
	return orNil(in)
}

// floats passes a list of finite numbers, either way.
func (c *check) floats(field string, in []float64) []float64 {
	for i, v := range in {
		if !finite(v) {
			c.fail(item(field, i), "is %v: must be a finite number", v)
		}
	}
	return orNil(in)
}

func item(field string, i int) string { return field + "[" + strconv.Itoa(i) + "]" }

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

func orNil[T any](in []T) []T {
	if len(in) == 0 {
		return nil
	}
	return in
}

// part maps a message that must be there, from the wire.
func part[M, T any](c *check, field string, m *M, in func(*check, *M) T) T {
	if m == nil {
		c.fail(field, "is missing")
		var none T
		return none
	}
	return inside(c, field, m, in)
}

// optional maps a part that may be missing: older writers do not have it.
func optional[M, T any](c *check, field string, m *M, in func(*check, *M) T) T {
	if m == nil {
		var none T
		return none
	}
	return inside(c, field, m, in)
}

// inside maps a part, either way.
func inside[A, B any](c *check, field string, a A, to func(*check, A) B) B {
	c.enter(field, -1)
	defer c.leave()
	return to(c, a)
}

// list maps a list, either way. An empty one becomes nil.
func list[A, B any](c *check, field string, in []A, to func(*check, A) B) []B {
	if len(in) == 0 {
		return nil
	}
	out := make([]B, len(in))
	for i, a := range in {
		c.enter(field, i)
		out[i] = to(c, a)
		c.leave()
	}
	return out
}

// same converts a list of numbers between types of one width.
func same[B, A ~int64 | ~uint64](in []A) []B {
	if len(in) == 0 {
		return nil
	}
	out := make([]B, len(in))
	for i, a := range in {
		out[i] = B(a)
	}
	return out
}

// plain drops the package name and the non-breaking spaces that the protobuf
// library puts into its messages.
func plain(err error) error {
	s := strings.ReplaceAll(err.Error(), "\u00a0", " ")
	return errors.New(strings.TrimPrefix(s, "proto: "))
}
