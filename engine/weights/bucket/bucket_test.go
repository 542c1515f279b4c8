package bucket_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"

	"github.com/spotserve/spotserve/engine/model"
	"github.com/spotserve/spotserve/engine/weights/bucket"
)

var shape = model.Config{
	Name: "small", Layers: 3, Hidden: 32, Heads: 4, KVHeads: 2, HeadDim: 8, FFN: 64, Vocab: 50, Context: 64, NormEps: 1e-5,
	Rope: model.Rope{Theta: 10_000, Factor: 8, LowFreqFactor: 1, HighFreqFactor: 4, OriginalContext: 32}, DType: model.BF16, Leaves: 2,
	BOS: -1, EOS: []int{3, 4},
}

func source(t *testing.T) model.Source {
	t.Helper()
	s, err := model.Synthetic(shape, 7)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func published(t *testing.T) (folder, url string) {
	t.Helper()
	folder = filepath.Join(t.TempDir(), "models", "small")
	url = "file://" + filepath.ToSlash(folder)
	var last, of int64
	if err := bucket.Publish(t.Context(), source(t), url, func(n, all int64) {
		if n <= last {
			t.Errorf("progress fell from %d to %d", last, n)
		}
		last, of = n, all
	}); err != nil {
		t.Fatal(err)
	}
	if last != of || of != shape.WeightBytes() {
		t.Errorf("progress ended at %d of %d, want %d", last, of, shape.WeightBytes())
	}
	return folder, url
}

func TestPublishedBlobsComeBack(t *testing.T) {
	folder, url := published(t)
	s, err := bucket.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got, want := fmt.Sprintf("%+v", s.Config()), fmt.Sprintf("%+v", shape); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for layer := range shape.Layers {
		for leaf := range shape.Leaves {
			id := model.BlobID{Layer: layer, Leaf: leaf}
			got, want := make([]byte, shape.BlobBytes(id)), make([]byte, shape.BlobBytes(id))
			if err := errors.Join(s.ReadBlob(id, got), source(t).ReadBlob(id, want)); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s: other bytes", id)
			}
			if err := s.ReadBlob(id, got[:10]); !errors.Is(err, bucket.ErrLength) {
				t.Errorf("%s into 10 bytes: %v", id, err)
			}
			if _, known := s.Sum(id); !known {
				t.Errorf("%s has no sum", id)
			}
		}
	}
	if err := s.ReadBlob(model.BlobID{Layer: 3}, nil); err == nil || !strings.Contains(err.Error(), "3 layers of 2 leaves") {
		t.Errorf("got %v", err)
	}
	if _, known := s.Sum(model.BlobID{Layer: 3}); known {
		t.Error("a blob that is not there has a sum")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.ReadBlobContext(ctx, model.BlobID{}, make([]byte, shape.BlobBytes(model.BlobID{}))); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	// One object a blob, the manifest, and nothing else.
	var files []string
	if err := filepath.WalkDir(folder, func(path string, d os.DirEntry, err error) error {
		if !d.IsDir() {
			files = append(files, path)
		}
		return err
	}); err != nil || len(files) != shape.Layers*shape.Leaves+1 {
		t.Errorf("files %v, %v", files, err)
	}
}

// Objects that are not what was published are told apart.
func TestDamagedObjects(t *testing.T) {
	id, object := model.BlobID{Layer: 1, Leaf: 1}, filepath.Join("layer-0001", "leaf-001.bin")
	n := shape.BlobBytes(id)
	for name, c := range map[string]struct {
		damage func(path string) error
		want   error
		text   string
	}{
		"a bit": {func(path string) error {
			b, err := os.ReadFile(path)
			if err == nil {
				b[len(b)/2] ^= 1
				err = os.WriteFile(path, b, 0o600)
			}
			return err
		}, bucket.ErrChecksum, "the manifest says"},
		"short":  {func(path string) error { return os.Truncate(path, n-1) }, bucket.ErrLength, fmt.Sprintf("%d bytes, the manifest says %d", n-1, n)},
		"long":   {func(path string) error { return os.Truncate(path, n+1) }, bucket.ErrLength, fmt.Sprintf("%d bytes, the manifest says %d", n+1, n)},
		"absent": {os.Remove, nil, "NotFound"},
	} {
		t.Run(name, func(t *testing.T) {
			folder, url := published(t)
			if err := c.damage(filepath.Join(folder, object)); err != nil {
				t.Fatal(err)
			}
			s, err := bucket.Open(t.Context(), url)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			err = s.ReadBlob(id, make([]byte, n))
			if err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) || !strings.Contains(err.Error(), "leaf-001.bin") {
				t.Errorf("got %v, want %v with %q", err, c.want, c.text)
			}
		})
	}
}

func TestBadManifests(t *testing.T) {
	b := memblob.OpenBucket(nil)
	defer b.Close()
	if _, err := bucket.OpenBucket(t.Context(), b, "mem"); !errors.Is(err, bucket.ErrNotPublished) {
		t.Errorf("an empty bucket: %v", err)
	}
	if err := bucket.PublishBucket(t.Context(), source(t), b, "mem", nil); err != nil {
		t.Fatal(err)
	}
	good, err := b.ReadAll(t.Context(), "manifest.json")
	if err != nil {
		t.Fatal(err)
	}
	edit := func(f func(m map[string]any)) string {
		var m map[string]any
		if err := json.Unmarshal(good, &m); err != nil {
			t.Fatal(err)
		}
		f(m)
		text, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	blobs := func(m map[string]any) []any { return m["blobs"].([]any) }
	entry := func(m map[string]any, i int) map[string]any { return blobs(m)[i].(map[string]any) }
	for name, c := range map[string]struct{ text, want string }{
		"no JSON":       {"{", "EOF"},
		"unknown key":   {edit(func(m map[string]any) { m["more"] = 1 }), "more"},
		"other format":  {edit(func(m map[string]any) { m["format"] = "x/2" }), `format "x/2", this reads "spotserve-weights/1"`},
		"no model":      {edit(func(m map[string]any) { delete(m, "model") }), "dtype"},
		"odd model":     {edit(func(m map[string]any) { m["model"].(map[string]any)["layers"] = 0 }), "layers is 0"},
		"blob lacking":  {edit(func(m map[string]any) { m["blobs"] = blobs(m)[1:] }), "5 blobs, the model has 6"},
		"blob twice":    {edit(func(m map[string]any) { blobs(m)[1] = blobs(m)[0] }), "layer 0 leaf 0 is there twice"},
		"blob beyond":   {edit(func(m map[string]any) { entry(m, 1)["leaf"] = 2 }), "layer 0 leaf 2 of 3 layers of 2 leaves"},
		"wrong size":    {edit(func(m map[string]any) { entry(m, 1)["bytes"] = 5 }), "layer 0 leaf 1 has 5 bytes"},
		"no checksum":   {edit(func(m map[string]any) { delete(entry(m, 1), "crc32c") }), "eight hexadecimal digits"},
		"no hex":        {edit(func(m map[string]any) { entry(m, 1)["crc32c"] = "0123456g" }), "0123456g"},
		"no key":        {edit(func(m map[string]any) { entry(m, 1)["key"] = "" }), `key ""`},
		"unknown dtype": {edit(func(m map[string]any) { m["model"].(map[string]any)["dtype"] = "f64" }), `dtype "f64", allowed are f32 and bf16`},
	} {
		if err := b.WriteAll(t.Context(), "manifest.json", []byte(c.text), nil); err != nil {
			t.Fatal(err)
		}
		if _, err := bucket.OpenBucket(t.Context(), b, "mem"); !errors.Is(err, bucket.ErrManifest) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

// failing is a source that breaks at a blob.
type failing struct {
	model.Source
	at model.BlobID
}

var errDisk = errors.New("the disk is gone")

func (f failing) ReadBlob(id model.BlobID, dst []byte) error {
	if id == f.at {
		return errDisk
	}
	return f.Source.ReadBlob(id, dst)
}

// A bucket whose publishing was cut off is not published, even where something was
// published before.
func TestPublishingThatFails(t *testing.T) {
	b := memblob.OpenBucket(nil)
	defer b.Close()
	if err := bucket.PublishBucket(t.Context(), source(t), b, "mem", nil); err != nil {
		t.Fatal(err)
	}
	err := bucket.PublishBucket(t.Context(), failing{source(t), model.BlobID{Layer: 2}}, b, "mem", nil)
	if !errors.Is(err, errDisk) || !strings.Contains(err.Error(), "layer 2 leaf 0") || !strings.Contains(err.Error(), "small to mem") {
		t.Errorf("got %v", err)
	}
	if _, err := bucket.OpenBucket(t.Context(), b, "mem"); !errors.Is(err, bucket.ErrNotPublished) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errDisk)
	if err := bucket.PublishBucket(ctx, source(t), b, "mem", nil); err == nil {
		t.Error("published after it was told to stop")
	}
	// A place that cannot be written to.
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := bucket.Publish(t.Context(), source(t), "file://"+filepath.ToSlash(file), nil); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("got %v", err)
	}
}

func TestUnknownBuckets(t *testing.T) {
	for url, want := range map[string]string{
		"ftp://x/y":       "allowed are file://, mem://",
		"no scheme":       "allowed are",
		"file:///%zz":     "bucket",
		"file:///nowhere": "nowhere",
	} {
		if _, err := bucket.Open(t.Context(), url); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", url, err, want)
		}
	}
	if _, err := bucket.Open(t.Context(), "ftp://x"); !errors.Is(err, bucket.ErrScheme) {
		t.Errorf("got %v", err)
	}
}

// A prefix names a folder in a bucket.
func TestPrefix(t *testing.T) {
	url := "file://" + filepath.ToSlash(t.TempDir())
	for _, name := range []string{"a/", "b/"} {
		if err := bucket.Publish(t.Context(), source(t), url+"?prefix="+name, nil); err != nil {
			t.Fatal(err)
		}
	}
	s, err := bucket.Open(t.Context(), url+"?prefix=b/")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := blob.OpenBucket(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if there, err := b.Exists(t.Context(), "a/manifest.json"); !there || err != nil {
		t.Error(there, err)
	}
}
