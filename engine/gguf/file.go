// Package gguf reads and writes GGUF, the checkpoint format of llama.cpp:
// versions 2 and 3, little-endian, of models of the Llama family.
//
// Everything in a file is untrusted: counts, lengths and offsets are checked
// against what the file can hold before anything is allocated by them. Rows are
// read by ReadAt, not through a memory map, so a file that shrinks while it is
// read gives an error and does not kill the process; the page cache is the same.
package gguf

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
)

// File is an open checkpoint: what its header says. It is safe for concurrent
// use.
type File struct {
	name   string
	data   io.ReaderAt
	size   int64
	closer io.Closer

	Version uint32
	// Metadata by key. Values are int64, float64, bool, string, or a slice of one
	// of these; the file's widths are not kept.
	Metadata map[string]any
	// Tensors in the file's order.
	Tensors []Tensor
	byName  map[string]*Tensor
}

// Tensor says where a tensor lies. Dims are innermost first: a matrix is
// [columns, rows].
type Tensor struct {
	Name   string
	Type   Type
	Dims   []int64
	Offset int64 // from the start of the file
}

// Open reads the header of the file at path. Close it, or the Source made of it.
func Open(path string) (*File, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil {
		var f *File
		if f, err = Read(file, info.Size(), path); err == nil {
			f.closer = file
			return f, nil
		}
	}
	return nil, errors.Join(err, file.Close())
}

// Read reads the header of a file of size bytes; name is for errors. The file
// goes on to use data.
func Read(data io.ReaderAt, size int64, name string) (*File, error) {
	f := &File{name: name, data: data, size: size, Metadata: map[string]any{}, byName: map[string]*Tensor{}}
	if err := f.parse(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return f, nil
}

// Close closes what Open opened.
func (f *File) Close() error {
	if f.closer == nil {
		return nil
	}
	return f.closer.Close()
}

// Value is a type of metadata.
type Value interface {
	int64 | float64 | bool | string | []int64 | []float64 | []bool | []string
}

// Get returns the value of a key, and whether the file has it. It is an error if
// the value is of another type.
func Get[T Value](f *File, key string) (v T, ok bool, err error) {
	raw, ok := f.Metadata[key]
	if !ok {
		return v, false, nil
	}
	v, ok = raw.(T)
	if !ok {
		return v, false, fmt.Errorf("%s: key %q is of type %T, want %T", f.name, key, raw, v)
	}
	return v, true, nil
}

const (
	magic            = "GGUF"
	defaultAlignment = 32
	maxAlignment     = 1 << 16
	maxKey           = 1<<16 - 1 // the format's own limit
	maxName          = 256       // of a tensor; the format's limit is 64
	maxString        = 1 << 24
	maxArray         = 1 << 24
	maxTensors       = 1 << 16
	maxKeys          = 1 << 16
	maxDims          = 4
)

func (f *File) parse() error {
	d := newDecoder(f.data, f.size)
	start := d.bytes(4, "the magic number")
	f.Version = d.uint32("the version")
	tensors, keys := d.uint64("the number of tensors"), d.uint64("the number of keys")
	switch {
	case d.err != nil:
		return d.err
	case string(start) != magic:
		return fmt.Errorf("is no GGUF file: it starts with %q, want %q", start, magic)
	case f.Version == 2<<24 || f.Version == 3<<24:
		return errors.New("is big-endian GGUF; supported is little-endian")
	case f.Version != 2 && f.Version != 3:
		return fmt.Errorf("is GGUF of version %d; supported are 2 and 3", f.Version)
	case tensors > maxTensors:
		return fmt.Errorf("claims %d tensors; at most %d are read", tensors, maxTensors)
	case keys > maxKeys:
		return fmt.Errorf("claims %d keys; at most %d are read", keys, maxKeys)
	}
	for range keys {
		if err := f.parseKey(d); err != nil {
			return err
		}
	}
	for range tensors {
		if err := f.parseTensor(d); err != nil {
			return err
		}
	}
	alignment, ok, err := Get[int64](f, "general.alignment")
	switch {
	case err != nil:
		return err
	case !ok:
		alignment = defaultAlignment
	case alignment <= 0 || alignment > maxAlignment || alignment&(alignment-1) != 0:
		return fmt.Errorf("general.alignment is %d, must be a power of two up to %d", alignment, maxAlignment)
	}
	return f.place(d.at, alignment)
}

func (f *File) parseKey(d *decoder) error {
	at := d.at
	key := d.string(maxKey, "a key")
	kind := valueType(d.uint32("the type of key " + quote(key)))
	value := d.value(kind, key)
	if d.err != nil {
		return d.err
	}
	if _, twice := f.Metadata[key]; twice {
		return fmt.Errorf("byte %d: key %q is there twice", at, key)
	}
	f.Metadata[key] = value
	return nil
}

func (f *File) parseTensor(d *decoder) error {
	at := d.at
	t := Tensor{Name: d.string(maxName, "the name of a tensor")}
	what := "tensor " + quote(t.Name)
	dims := d.uint32("the number of dimensions of " + what)
	if d.err == nil && (dims == 0 || dims > maxDims) {
		return fmt.Errorf("byte %d: %s has %d dimensions, must be 1 to %d", at, what, dims, maxDims)
	}
	for range dims {
		n := d.uint64("a dimension of " + what)
		if d.err == nil && (n == 0 || n > math.MaxInt32) {
			return fmt.Errorf("byte %d: %s has a dimension of %d, must be 1 to %d", at, what, n, math.MaxInt32)
		}
		t.Dims = append(t.Dims, int64(n))
	}
	t.Type = Type(d.uint32("the type of " + what))
	offset := d.uint64("the offset of " + what)
	if d.err != nil {
		return d.err
	}
	if offset > uint64(f.size) {
		return fmt.Errorf("byte %d: %s starts at %d of the data, the whole file has %d bytes", at, what, offset, f.size)
	}
	t.Offset = int64(offset)
	if _, twice := f.byName[t.Name]; twice {
		return fmt.Errorf("byte %d: %s is there twice", at, what)
	}
	f.Tensors = append(f.Tensors, t)
	f.byName[t.Name] = nil
	return nil
}

// place makes offsets absolute and checks that the tensors lie in the file. The
// size of a tensor is checked only where its type is known.
func (f *File) place(header, alignment int64) error {
	base := (header + alignment - 1) / alignment * alignment
	for i := range f.Tensors {
		t := &f.Tensors[i]
		f.byName[t.Name] = t
		if t.Offset%alignment != 0 {
			return fmt.Errorf("tensor %q: offset %d is no multiple of the alignment %d", t.Name, t.Offset, alignment)
		}
		t.Offset += base
		if _, known := elements[t.Type]; !known {
			continue
		}
		size, err := t.bytes()
		if err != nil {
			return err
		}
		if t.Offset > f.size || size > f.size-t.Offset {
			return fmt.Errorf("tensor %q: %d bytes from byte %d on end after the file, which has %d", t.Name, size, t.Offset, f.size)
		}
	}
	return nil
}

// bytes is the size of a tensor of a known type.
func (t *Tensor) bytes() (int64, error) {
	e := elements[t.Type]
	if t.Dims[0]%e.block != 0 {
		return 0, fmt.Errorf("tensor %q: rows of %d elements are no whole number of %v blocks of %d", t.Name, t.Dims[0], t.Type, e.block)
	}
	size := t.Dims[0] / e.block * e.bytes
	for _, n := range t.Dims[1:] {
		if size > math.MaxInt64/n {
			return 0, fmt.Errorf("tensor %q: %v elements of type %v are more than a file can hold", t.Name, t.Dims, t.Type)
		}
		size *= n
	}
	return size, nil
}
