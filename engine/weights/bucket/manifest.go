// Package bucket keeps the weights of a model in object storage: one object a blob,
// and a manifest that says what model it is, and the size and the checksum of each
// blob. Blobs are read straight into the memory where they will be used, and from
// where a read broke off.
//
// A bucket is named by a URL of gocloud.dev/blob: file:///path and mem:// always;
// s3://, gs:// and azblob:// in programs that are built with the tag cloud. A
// prefix parameter names a folder in it: s3://models?region=eu-west-1&prefix=llama/.
package bucket

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/spotserve/spotserve/engine/model"
)

// Errors of buckets.
var (
	// ErrManifest says that the manifest is not one that can be read here.
	ErrManifest = errors.New("bad manifest")
	// ErrNotPublished says that there is no manifest: publishing ends with it.
	ErrNotPublished = errors.New("no published weights")
	// ErrLength says that an object is not as long as its blob.
	ErrLength = errors.New("wrong length of an object")
	// ErrScheme says that no program of this build can reach such a bucket.
	ErrScheme = errors.New("unknown kind of bucket")
)

// manifestKey is the object that makes a bucket a model. It is written last.
const manifestKey = "manifest.json"

// format names the layout of blobs as model.Config.Tensors says it, and of the
// manifest.
const format = "spotserve-weights/1"

// maxManifest is the most of a manifest, in bytes.
const maxManifest = 64 << 20

type manifest struct {
	Format string  `json:"format"`
	Model  shape   `json:"model"`
	Blobs  []entry `json:"blobs"`
}

// entry is a blob.
type entry struct {
	Layer  int    `json:"layer"`
	Leaf   int    `json:"leaf"`
	Key    string `json:"key"`
	Bytes  int64  `json:"bytes"`
	CRC32C string `json:"crc32c"` // eight hexadecimal digits
}

// shape is model.Config as it is written.
type shape struct {
	Name     string  `json:"name"`
	Layers   int     `json:"layers"`
	Hidden   int     `json:"hidden"`
	Heads    int     `json:"heads"`
	KVHeads  int     `json:"kv_heads"`
	HeadDim  int     `json:"head_dim"`
	FFN      int     `json:"ffn"`
	Vocab    int     `json:"vocab"`
	Context  int     `json:"context"`
	NormEps  float32 `json:"norm_eps"`
	Rope     rope    `json:"rope"`
	TiedHead bool    `json:"tied_head"`
	DType    string  `json:"dtype"`
	Leaves   int     `json:"leaves"`
	BOS      int     `json:"bos"`
	EOS      []int   `json:"eos"`
}

type rope struct {
	Theta           float64 `json:"theta"`
	Factor          float64 `json:"factor"`
	LowFreqFactor   float64 `json:"low_freq_factor"`
	HighFreqFactor  float64 `json:"high_freq_factor"`
	OriginalContext int     `json:"original_context"`
}

func shapeOf(c model.Config) shape {
	return shape{
		Name: c.Name, Layers: c.Layers, Hidden: c.Hidden, Heads: c.Heads, KVHeads: c.KVHeads, HeadDim: c.HeadDim, FFN: c.FFN,
		Vocab: c.Vocab, Context: c.Context, NormEps: c.NormEps, Rope: rope(c.Rope), TiedHead: c.TiedHead, DType: c.DType.String(),
		Leaves: c.Leaves, BOS: c.BOS, EOS: c.EOS,
	}
}

func (s shape) config() (model.Config, error) {
	c := model.Config{
		Name: s.Name, Layers: s.Layers, Hidden: s.Hidden, Heads: s.Heads, KVHeads: s.KVHeads, HeadDim: s.HeadDim, FFN: s.FFN,
		Vocab: s.Vocab, Context: s.Context, NormEps: s.NormEps, Rope: model.Rope(s.Rope), TiedHead: s.TiedHead,
		Leaves: s.Leaves, BOS: s.BOS, EOS: s.EOS,
	}
	switch s.DType {
	case model.F32.String():
	case model.BF16.String():
		c.DType = model.BF16
	default:
		return c, fmt.Errorf("dtype %q, allowed are %s and %s", s.DType, model.F32, model.BF16)
	}
	return c, c.Validate()
}

// object is where a blob is.
type object struct {
	key   string
	bytes int64
	sum   uint32
}

// parseManifest reads a manifest, which has every blob of its model once.
func parseManifest(b []byte) (model.Config, map[model.BlobID]object, error) {
	var m manifest
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return model.Config{}, nil, fmt.Errorf("%w: %w", ErrManifest, err)
	}
	if m.Format != format {
		return model.Config{}, nil, fmt.Errorf("%w: format %q, this reads %q", ErrManifest, m.Format, format)
	}
	c, err := m.Model.config()
	if err != nil {
		return c, nil, fmt.Errorf("%w: %w", ErrManifest, err)
	}
	if len(m.Blobs) != c.Layers*c.Leaves {
		return c, nil, fmt.Errorf("%w: %d blobs, the model has %d", ErrManifest, len(m.Blobs), c.Layers*c.Leaves)
	}
	objects := make(map[model.BlobID]object, len(m.Blobs))
	for _, e := range m.Blobs {
		id := model.BlobID{Layer: e.Layer, Leaf: e.Leaf}
		if id.Layer < 0 || id.Layer >= c.Layers || id.Leaf < 0 || id.Leaf >= c.Leaves {
			return c, nil, fmt.Errorf("%w: %s of %d layers of %d leaves", ErrManifest, id, c.Layers, c.Leaves)
		}
		if _, twice := objects[id]; twice {
			return c, nil, fmt.Errorf("%w: %s is there twice", ErrManifest, id)
		}
		if e.Bytes != c.BlobBytes(id) {
			return c, nil, fmt.Errorf("%w: %s has %d bytes, the model's has %d", ErrManifest, id, e.Bytes, c.BlobBytes(id))
		}
		sum, err := strconv.ParseUint(e.CRC32C, 16, 32)
		if err != nil || len(e.CRC32C) != 8 || e.Key == "" {
			return c, nil, fmt.Errorf("%w: %s has key %q and crc32c %q, wanted are a key and eight hexadecimal digits", ErrManifest, id, e.Key, e.CRC32C)
		}
		objects[id] = object{key: e.Key, bytes: e.Bytes, sum: uint32(sum)}
	}
	return c, objects, nil
}
