package bucket_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/gcerrors"

	"github.com/spotserve/spotserve/engine/model"
	"github.com/spotserve/spotserve/engine/weights/bucket"
)

var (
	errReset  = errors.New("connection reset")
	errAbsent = errors.New("no such object")
	errSpace  = errors.New("no space left on device")
)

// storage keeps objects in memory. Reads break off, and writes find it full, as the
// test says; driver.Bucket stands for what is not called.
type storage struct {
	driver.Bucket

	mu      sync.Mutex
	objects map[string][]byte
	room    int                                // bytes of objects
	breaks  func(key string, at int64) (n int) // how much a read from at brings before it breaks; -1: all
	reads   []int64                            // where they began
}

func (s *storage) Close() error            { return nil }
func (s *storage) ErrorAs(error, any) bool { return false }
func (s *storage) ErrorCode(err error) gcerrors.ErrorCode {
	if errors.Is(err, errAbsent) {
		return gcerrors.NotFound
	}
	return gcerrors.Unknown
}

func (s *storage) Attributes(_ context.Context, key string) (*driver.Attributes, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.objects[key]; !ok {
		return nil, errAbsent
	}
	return &driver.Attributes{Size: int64(len(s.objects[key]))}, nil
}

type reader struct {
	io.Reader
	size int64
}

func (reader) Close() error { return nil }
func (reader) As(any) bool  { return false }
func (r reader) Attributes() *driver.ReaderAttributes {
	return &driver.ReaderAttributes{Size: r.size, ModTime: time.Time{}}
}

type breaking struct{}

func (breaking) Read([]byte) (int, error) { return 0, errReset }

func (s *storage) NewRangeReader(_ context.Context, key string, offset, length int64, _ *driver.ReaderOptions) (driver.Reader, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	data, ok := s.objects[key]
	if !ok {
		return nil, errAbsent
	}
	rest := data[offset:]
	if length >= 0 {
		rest = rest[:length]
	}
	s.reads = append(s.reads, offset)
	r := reader{bytes.NewReader(rest), int64(len(data))}
	if n := s.breaks(key, offset); n >= 0 {
		r.Reader = io.MultiReader(bytes.NewReader(rest[:min(n, len(rest))]), breaking{})
	}
	return r, nil
}

type writer struct {
	bytes.Buffer
	close func([]byte) error
}

func (w *writer) Close() error { return w.close(w.Bytes()) }

func (s *storage) NewTypedWriter(_ context.Context, key, _ string, _ *driver.WriterOptions) (driver.Writer, error) {
	return &writer{close: func(b []byte) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.room -= len(b); s.room < 0 {
			return errSpace
		}
		s.objects[key] = bytes.Clone(b)
		return nil
	}}, nil
}

func newStorage(room int) *storage {
	return &storage{objects: map[string][]byte{}, room: room, breaks: func(string, int64) int { return -1 }}
}

// A read that breaks off goes on from there; one that brings nothing, again and
// again, ends with the storage's error.
func TestReadsThatBreakOff(t *testing.T) {
	s := newStorage(1 << 30)
	b := blob.NewBucket(s)
	if err := bucket.PublishBucket(t.Context(), source(t), b, "mem", nil); err != nil {
		t.Fatal(err)
	}
	m, err := bucket.OpenBucket(t.Context(), b, "mem")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	id := model.BlobID{Layer: 1}
	n := shape.BlobBytes(id)
	s.reads = nil
	s.breaks = func(_ string, at int64) int {
		switch {
		case at == 0:
			return int(n / 3)
		case at == n/3 && len(s.reads) == 2:
			return 0
		case at == n/3:
			return int(n / 2)
		}
		return -1
	}
	got, want := make([]byte, n), make([]byte, n)
	if err := errors.Join(m.ReadBlob(id, got), source(t).ReadBlob(id, want)); err != nil || !bytes.Equal(got, want) {
		t.Fatal("other bytes", err)
	}
	if len(s.reads) != 4 || s.reads[3] != n/3+n/2 {
		t.Errorf("reads began at %v", s.reads)
	}
	s.reads = nil
	s.breaks = func(_ string, at int64) int {
		if at == 0 {
			return 100
		}
		return 0
	}
	err = m.ReadBlob(id, got)
	if !errors.Is(err, errReset) && (err == nil || !strings.Contains(err.Error(), errReset.Error())) {
		t.Errorf("got %v", err)
	}
	if err != nil && !strings.Contains(err.Error(), "100 of") {
		t.Errorf("%v does not say how far it came", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := m.ReadBlobContext(ctx, id, got); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// Storage that is full is named, and what is in it is not published.
func TestStorageIsFull(t *testing.T) {
	s := newStorage(int(shape.WeightBytes()) - 1)
	b := blob.NewBucket(s)
	defer b.Close()
	err := bucket.PublishBucket(t.Context(), source(t), b, "mem", nil)
	if err == nil || !strings.Contains(err.Error(), errSpace.Error()) || !strings.Contains(err.Error(), "write layer-") {
		t.Errorf("got %v", err)
	}
	if _, err := bucket.OpenBucket(t.Context(), b, "mem"); !errors.Is(err, bucket.ErrNotPublished) {
		t.Errorf("got %v", err)
	}
}
