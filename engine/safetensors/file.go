// Package safetensors reads and writes models of the Llama family as Hugging Face
// keeps them: a folder with config.json and one or several .safetensors files.
//
// Everything in the files is untrusted: sizes and offsets are checked against what
// a file can hold before anything is allocated by them, and an index can only name
// files of its own folder. Rows are read by ReadAt, not through a memory map, so a
// file that shrinks while it is read gives an error and does not kill the process.
package safetensors

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
)

const (
	maxHeader  = 100 << 20 // the reference implementation's limit
	maxTensors = 1 << 17
	maxDims    = 8
)

// dtypes are the element types that are read, with their size in bytes.
var dtypes = map[string]int64{"F32": 4, "F16": 2, "BF16": 2}

const supportedTypes = "F32, F16 and BF16"

// tensor says where a tensor lies.
type tensor struct {
	file  *file
	name  string
	dtype string
	shape []int64 // outermost first
	at    int64   // from the start of the file
}

// file is one .safetensors file.
type file struct {
	name    string
	data    io.ReaderAt
	closer  io.Closer
	tensors map[string]*tensor
}

func openFile(path string) (*file, error) {
	opened, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := opened.Stat()
	if err == nil {
		var f *file
		if f, err = readFile(opened, info.Size(), path); err == nil {
			f.closer = opened
			return f, nil
		}
	}
	return nil, errors.Join(err, opened.Close())
}

// readFile reads the header of a file of size bytes.
func readFile(data io.ReaderAt, size int64, name string) (*file, error) {
	f := &file{name: name, data: data, tensors: map[string]*tensor{}}
	if err := f.parse(size); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return f, nil
}

func (f *file) parse(size int64) error {
	var prefix [8]byte
	if err := readAt(f.data, prefix[:], 0); err != nil {
		return fmt.Errorf("the header's length, bytes 0 to 8: %w", err)
	}
	length := binary.LittleEndian.Uint64(prefix[:])
	if length > maxHeader || int64(length) > size-8 {
		return fmt.Errorf("the header is %d bytes long; allowed are the %d bytes that the file has left and %d", length, size-8, maxHeader)
	}
	header := make([]byte, length)
	if err := readAt(f.data, header, 8); err != nil {
		return fmt.Errorf("the header, bytes 8 to %d: %w", 8+length, err)
	}
	var entries map[string]json.RawMessage
	if err := json.Unmarshal(header, &entries); err != nil {
		return fmt.Errorf("the header, bytes 8 to %d: %w", 8+length, err)
	}
	delete(entries, "__metadata__")
	if len(entries) > maxTensors {
		return fmt.Errorf("the header has %d tensors, at most %d are read", len(entries), maxTensors)
	}
	base := 8 + int64(length)
	type extent struct {
		name     string
		from, to int64
	}
	extents := make([]extent, 0, len(entries))
	for name, raw := range entries {
		var entry struct {
			DType   string  `json:"dtype"`
			Shape   []int64 `json:"shape"`
			Offsets []int64 `json:"data_offsets"`
		}
		if err := json.Unmarshal(raw, &entry); err != nil {
			return fmt.Errorf("tensor %s: %w", quote(name), err)
		}
		if len(entry.Offsets) != 2 || entry.Offsets[0] < 0 || entry.Offsets[1] < entry.Offsets[0] || entry.Offsets[1] > size-base {
			return fmt.Errorf("tensor %s: data_offsets are %v, must be two, rising, from 0 to %d", quote(name), entry.Offsets, size-base)
		}
		if err := checkExtent(entry.DType, entry.Shape, entry.Offsets[1]-entry.Offsets[0]); err != nil {
			return fmt.Errorf("tensor %s: %w", quote(name), err)
		}
		f.tensors[name] = &tensor{file: f, name: name, dtype: entry.DType, shape: entry.Shape, at: base + entry.Offsets[0]}
		extents = append(extents, extent{name, entry.Offsets[0], entry.Offsets[1]})
	}
	// As in the reference implementation, the data has no holes and no overlaps.
	slices.SortFunc(extents, func(a, b extent) int {
		return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to), cmp.Compare(a.name, b.name))
	})
	end := int64(0)
	for _, e := range extents {
		if e.from != end {
			return fmt.Errorf("tensor %s: starts at %d of the data, the tensor before it ends at %d", quote(e.name), e.from, end)
		}
		end = e.to
	}
	if end != size-base {
		return fmt.Errorf("the tensors end at %d of the data, which has %d bytes", end, size-base)
	}
	return nil
}

// checkExtent compares a shape with the bytes that there are. Of types that are
// not read, the size is not known; the model refuses them if it has to read them.
func checkExtent(dtype string, shape []int64, bytes int64) error {
	if len(shape) > maxDims {
		return fmt.Errorf("has %d dimensions, at most %d are read", len(shape), maxDims)
	}
	width, known := dtypes[dtype]
	if !known {
		return nil
	}
	want := width
	for _, n := range shape {
		if n < 0 || n > math.MaxInt32 || (n > 0 && want > math.MaxInt64/n) {
			return fmt.Errorf("shape %v is more than a file can hold", shape)
		}
		want *= n
	}
	if want != bytes {
		return fmt.Errorf("%v elements of %s are %d bytes long, data_offsets say %d", shape, dtype, want, bytes)
	}
	return nil
}

// readAt fills p.
func readAt(data io.ReaderAt, p []byte, at int64) error {
	n, err := data.ReadAt(p, at)
	if n == len(p) {
		return nil
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// quote shortens names of files that nobody checked.
func quote(s string) string {
	if len(s) > 256 {
		s = s[:256] + "..."
	}
	return fmt.Sprintf("%q", s)
}
