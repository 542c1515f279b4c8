package checkpoint_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/engine/checkpoint"
	"github.com/spotserve/spotserve/engine/gguf"
	"github.com/spotserve/spotserve/engine/model"
	"github.com/spotserve/spotserve/engine/safetensors"
	"github.com/spotserve/spotserve/engine/weights/bucket"
)

func tiny() model.Config {
	return model.Config{
		Name: "tiny", Layers: 2, Hidden: 16, Heads: 4, KVHeads: 2, HeadDim: 4, FFN: 24, Vocab: 33, Context: 64, NormEps: 1e-5,
		Rope: model.Rope{Theta: 10_000}, Leaves: 2, BOS: 1,
	}
}

// blobs reads all weights of a source.
func blobs(t *testing.T, s model.Source) []byte {
	t.Helper()
	var all []byte
	c := s.Config()
	for layer := range c.Layers {
		for leaf := range c.Leaves {
			id := model.BlobID{Layer: layer, Leaf: leaf}
			b := make([]byte, c.BlobBytes(id))
			if err := s.ReadBlob(id, b); err != nil {
				t.Fatal(err)
			}
			all = append(all, b...)
		}
	}
	return all
}

func open(t *testing.T, location string, o checkpoint.Options) model.Source {
	t.Helper()
	s, err := checkpoint.Open(location, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// TestAFileIsWhatWasWritten: weights from a seed and those of a file of them are
// the same.
func TestAFileIsWhatWasWritten(t *testing.T) {
	seeded := open(t, "synthetic:42", checkpoint.Options{Shape: tiny()})
	path := filepath.Join(t.TempDir(), "tiny.gguf")
	if err := write(path, seeded); err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	if err := safetensors.Write(folder, seeded, 1); err != nil {
		t.Fatal(err)
	}
	for _, location := range []string{path, folder} {
		for _, o := range []checkpoint.Options{{}, {Shape: tiny()}} {
			if read := open(t, location, o); !bytes.Equal(blobs(t, read), blobs(t, seeded)) {
				t.Errorf("opened with %+v, %s has other weights", o, location)
			}
		}
	}
	other := tiny()
	other.FFN, other.Context = 32, 65
	_, err := checkpoint.Open(path, checkpoint.Options{Shape: other})
	if !errors.Is(err, checkpoint.ErrShape) || !strings.Contains(err.Error(), "ffn 24, not 32") || !strings.Contains(err.Error(), "a context of 64 tokens, not 65") {
		t.Errorf("another shape is answered by %v", err)
	}
	rounded := open(t, path, checkpoint.Options{BF16: true})
	if c := rounded.Config(); c.DType != model.BF16 {
		t.Errorf("asked to round it, it has %s", c.DType)
	}
}

func write(path string, s model.Source) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(gguf.Write(f, s, gguf.F32), f.Close())
}

// TestOpensWhatWasPublished: a bucket is a location like any other.
func TestOpensWhatWasPublished(t *testing.T) {
	source, err := model.Synthetic(tiny(), 42)
	if err != nil {
		t.Fatal(err)
	}
	location := "file://" + filepath.ToSlash(t.TempDir())
	if err := bucket.Publish(t.Context(), source, location, nil); err != nil {
		t.Fatal(err)
	}
	s, err := checkpoint.Open(location, checkpoint.Options{Shape: tiny()})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	other := tiny()
	other.Leaves = 1
	if _, err := checkpoint.Open(location, checkpoint.Options{Shape: other}); !errors.Is(err, checkpoint.ErrShape) {
		t.Errorf("a bucket of another cut is answered by %v", err)
	}
}

func TestLocationsThatAreNone(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "broken.gguf")
	if err := os.WriteFile(broken, []byte("GGU"), 0o600); err != nil {
		t.Fatal(err)
	}
	for location, want := range map[string]string{
		"synthetic:x":   "the seed is no whole number",
		"nowhere.gguf":  "no such file",
		t.TempDir():     "config.json",
		broken:          "broken.gguf",
		"synthetic:-1":  "the seed is no whole number",
		"checkpoint.go": "allowed are",
		"ftp://x/y":     "allowed are file://",
	} {
		if _, err := checkpoint.Open(location, checkpoint.Options{Shape: tiny()}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is answered by %v, want %q", location, err, want)
		}
	}
}

// TestShapeAndBack: an experiment's words for a shape lose nothing.
func TestShapeAndBack(t *testing.T) {
	scaled := tiny()
	scaled.Rope = model.Rope{Theta: 5e5, Factor: 8, LowFreqFactor: 1, HighFreqFactor: 4, OriginalContext: 32}
	scaled.DType, scaled.TiedHead, scaled.BOS, scaled.NormEps = model.BF16, true, -1, 1e-6
	for _, c := range []model.Config{tiny(), scaled} {
		got, err := checkpoint.Config(c.Name, checkpoint.Shape(c))
		if err != nil || !reflect.DeepEqual(got, c) {
			t.Errorf("got %+v, %v, want %+v", got, err, c)
		}
	}
	if s := checkpoint.Shape(tiny()); s.NormEps != 1e-5 {
		t.Errorf("norm_eps is %v, want 1e-5", s.NormEps)
	}
	s := checkpoint.Shape(tiny())
	s.DType = "f16"
	if _, err := checkpoint.Config("x", s); err == nil || !strings.Contains(err.Error(), `elements "f16", allowed are f32 and bf16`) {
		t.Errorf("elements of another type are answered by %v", err)
	}
	s = checkpoint.Shape(tiny())
	s.Leaves = 3
	if _, err := checkpoint.Config("x", s); err == nil {
		t.Error("three leaves are fine")
	}
}
