package bucket

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"sync"

	"gocloud.dev/blob"

	"github.com/spotserve/spotserve/engine/model"
)

// writers is how many blobs are written at a time. Each takes the memory of a blob.
const writers = 4

// Publish writes the weights of a source to a bucket. The manifest comes last, and
// an older one goes first: a bucket whose writing was cut off is not published.
// progress, if set, is told the bytes written of all, by one goroutine at a time.
// The first object that cannot be written ends it.
func Publish(ctx context.Context, source model.Source, bucketURL string, progress func(bytes, of int64)) error {
	b, err := openBucket(ctx, bucketURL, true)
	if err != nil {
		return err
	}
	return errors.Join(PublishBucket(ctx, source, b, bucketURL, progress), b.Close())
}

// PublishBucket is Publish to a bucket that is open, and stays open. Its name stands in errors.
func PublishBucket(ctx context.Context, source model.Source, b *blob.Bucket, name string, progress func(bytes, of int64)) error {
	p := &publisher{source: source, bucket: b, config: source.Config(), progress: progress}
	if err := p.config.Validate(); err != nil {
		return err
	}
	p.of = p.config.WeightBytes()
	err := p.withdraw(ctx)
	if err == nil {
		err = p.blobs(ctx)
	}
	if err == nil {
		err = p.manifest(ctx)
	}
	if err != nil {
		return fmt.Errorf("publish %s to %s: %w", p.config.Name, name, err)
	}
	return nil
}

type publisher struct {
	source   model.Source
	bucket   *blob.Bucket
	config   model.Config
	of       int64
	progress func(bytes, of int64)

	mu      sync.Mutex
	done    int64
	entries []entry
}

// withdraw deletes an older manifest.
func (p *publisher) withdraw(ctx context.Context) error {
	there, err := p.bucket.Exists(ctx, manifestKey)
	if err != nil || !there {
		return err
	}
	return p.bucket.Delete(ctx, manifestKey)
}

func (p *publisher) blobs(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	queue := make(chan model.BlobID)
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			var buffer []byte
			for id := range queue {
				if n := p.config.BlobBytes(id); int64(cap(buffer)) < n {
					buffer = make([]byte, n)
				}
				if err := p.blob(ctx, id, buffer[:p.config.BlobBytes(id)]); err != nil {
					cancel(fmt.Errorf("%s: %w", id, err))
				}
			}
		})
	}
feed:
	for layer := range p.config.Layers {
		for leaf := range p.config.Leaves {
			select {
			case queue <- model.BlobID{Layer: layer, Leaf: leaf}:
			case <-ctx.Done():
				break feed
			}
		}
	}
	close(queue)
	wg.Wait()
	return context.Cause(ctx)
}

func (p *publisher) blob(ctx context.Context, id model.BlobID, buffer []byte) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := p.source.ReadBlob(id, buffer); err != nil {
		return err
	}
	e := entry{
		Layer: id.Layer, Leaf: id.Leaf, Bytes: int64(len(buffer)),
		Key:    fmt.Sprintf("layer-%04d/leaf-%03d.bin", id.Layer, id.Leaf),
		CRC32C: fmt.Sprintf("%08x", crc32.Checksum(buffer, castagnoli)),
	}
	if err := p.bucket.WriteAll(ctx, e.Key, buffer, nil); err != nil {
		return fmt.Errorf("write %s: %w", e.Key, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.entries = append(p.entries, e)
	if p.done += e.Bytes; p.progress != nil {
		p.progress(p.done, p.of)
	}
	return nil
}

func (p *publisher) manifest(ctx context.Context) error {
	slices.SortFunc(p.entries, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.Layer, b.Layer), cmp.Compare(a.Leaf, b.Leaf))
	})
	text, err := json.MarshalIndent(manifest{Format: format, Model: shapeOf(p.config), Blobs: p.entries}, "", "  ")
	if err != nil {
		return err
	}
	if err := p.bucket.WriteAll(ctx, manifestKey, append(text, '\n'), nil); err != nil {
		return fmt.Errorf("write %s: %w", manifestKey, err)
	}
	return nil
}
