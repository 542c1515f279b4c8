package gguf

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
)

// decoder reads a header. The first error stays; what is read after it is zero.
type decoder struct {
	r    *bufio.Reader
	at   int64 // bytes read
	size int64 // of the file
	err  error
}

func newDecoder(data io.ReaderAt, size int64) *decoder {
	return &decoder{r: bufio.NewReaderSize(io.NewSectionReader(data, 0, size), 1<<16), size: size}
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("byte %d: %w", d.at, fmt.Errorf(format, args...))
	}
}

// fill reads len(p) bytes.
func (d *decoder) fill(p []byte, what string) bool {
	if d.err != nil {
		return false
	}
	if _, err := io.ReadFull(d.r, p); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			d.fail("%s: the file ends at %d", what, d.size)
		} else {
			d.fail("%s: %w", what, err)
		}
		return false
	}
	d.at += int64(len(p))
	return true
}

// bytes reads n bytes, which the caller has bounded.
func (d *decoder) bytes(n int, what string) []byte {
	p := make([]byte, n)
	if !d.fill(p, what) {
		return nil
	}
	return p
}

func (d *decoder) uint32(what string) uint32 {
	var p [4]byte
	d.fill(p[:], what)
	return binary.LittleEndian.Uint32(p[:])
}

func (d *decoder) uint64(what string) uint64 {
	var p [8]byte
	d.fill(p[:], what)
	return binary.LittleEndian.Uint64(p[:])
}

func (d *decoder) string(limit int, what string) string {
	n := d.uint64(what)
	switch {
	case d.err != nil:
		return ""
	case n > uint64(limit):
		d.fail("%s is %d bytes long, at most %d are read", what, n, limit)
		return ""
	case n > uint64(d.size-d.at):
		d.fail("%s is %d bytes long, the file has %d left", what, n, d.size-d.at)
		return ""
	}
	return string(d.bytes(int(n), what))
}

type valueType uint32

const (
	typeUint8 valueType = iota
	typeInt8
	typeUint16
	typeInt16
	typeUint32
	typeInt32
	typeFloat32
	typeBool
	typeString
	typeArray
	typeUint64
	typeInt64
	typeFloat64
)

// width is the size of a value of fixed size, and the least of a string.
func (t valueType) width() int {
	switch t {
	case typeUint8, typeInt8, typeBool:
		return 1
	case typeUint16, typeInt16:
		return 2
	case typeUint32, typeInt32, typeFloat32:
		return 4
	default:
		return 8
	}
}

func (d *decoder) value(t valueType, key string) any {
	what := "the value of key " + quote(key)
	switch {
	case d.err != nil:
		return nil
	case t == typeArray:
		return d.array(key)
	case t == typeString:
		return d.string(maxString, what)
	case t == typeBool:
		return d.integer(t, what) != 0
	case t == typeFloat32 || t == typeFloat64:
		return d.float(t, what)
	case t > typeFloat64:
		d.fail("key %q has a value of unknown type %d", key, t)
		return nil
	}
	return d.integer(t, what)
}

func (d *decoder) integer(t valueType, what string) int64 {
	var p [8]byte
	if !d.fill(p[:t.width()], what) {
		return 0
	}
	v := binary.LittleEndian.Uint64(p[:])
	switch t {
	case typeInt8:
		return int64(int8(v))
	case typeInt16:
		return int64(int16(v))
	case typeInt32:
		return int64(int32(v))
	case typeUint64:
		if v > math.MaxInt64 {
			d.fail("%s is %d, at most %d is read", what, v, int64(math.MaxInt64))
		}
	case typeBool:
		if v > 1 {
			d.fail("%s is %d, a boolean is 0 or 1", what, v)
		}
	}
	return int64(v)
}

func (d *decoder) float(t valueType, what string) float64 {
	if t == typeFloat32 {
		return float64(math.Float32frombits(d.uint32(what)))
	}
	return math.Float64frombits(d.uint64(what))
}

func (d *decoder) array(key string) any {
	what := "the array of key " + quote(key)
	t, n := valueType(d.uint32(what)), d.uint64(what)
	switch {
	case d.err != nil:
		return nil
	case t == typeArray || t > typeFloat64:
		d.fail("%s has elements of type %d; supported are 0 to %d except %d, which is an array", what, t, typeFloat64, typeArray)
		return nil
	case n > maxArray:
		d.fail("%s has %d elements, at most %d are read", what, n, maxArray)
		return nil
	case n > uint64(d.size-d.at)/uint64(t.width()):
		d.fail("%s has %d elements, the file has %d bytes left", what, n, d.size-d.at)
		return nil
	}
	switch t {
	case typeString:
		return collect(d, n, func() string { return d.string(maxString, what) })
	case typeBool:
		return collect(d, n, func() bool { return d.integer(t, what) != 0 })
	case typeFloat32, typeFloat64:
		return collect(d, n, func() float64 { return d.float(t, what) })
	default:
		return collect(d, n, func() int64 { return d.integer(t, what) })
	}
}

func collect[T any](d *decoder, n uint64, read func() T) []T {
	out := make([]T, 0, n)
	for range n {
		out = append(out, read())
		if d.err != nil {
			return nil
		}
	}
	return out
}

// quote shortens names of files that nobody checked.
func quote(s string) string {
	if len(s) > maxName {
		s = s[:maxName] + "..."
	}
	return strconv.Quote(s)
}
