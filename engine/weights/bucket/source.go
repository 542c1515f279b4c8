package bucket

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"gocloud.dev/blob"
	_ "gocloud.dev/blob/fileblob" // file://
	_ "gocloud.dev/blob/memblob"  // mem://
	"gocloud.dev/gcerrors"

	"github.com/spotserve/spotserve/engine/model"
)

// attempts is how often a read may break off without having brought anything.
const attempts = 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Source is a published model. It is a model.Source, and safe for concurrent use.
type Source struct {
	bucket  *blob.Bucket
	name    string
	config  model.Config
	objects map[model.BlobID]object
}

// Open reads the manifest of a bucket. Errors: ErrScheme, ErrNotPublished,
// ErrManifest, those of the storage.
func Open(ctx context.Context, bucketURL string) (*Source, error) {
	b, err := openBucket(ctx, bucketURL, false)
	if err != nil {
		return nil, err
	}
	s, err := OpenBucket(ctx, b, bucketURL)
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return s, nil
}

// OpenBucket reads the manifest of a bucket that is open. Its name stands in errors.
// Closing the source closes the bucket.
func OpenBucket(ctx context.Context, b *blob.Bucket, name string) (*Source, error) {
	s := &Source{bucket: b, name: name}
	r, err := b.NewReader(ctx, manifestKey, nil)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return nil, fmt.Errorf("%w in %s: it has no %s", ErrNotPublished, name, manifestKey)
	} else if err != nil {
		return nil, fmt.Errorf("read %s of %s: %w", manifestKey, name, err)
	}
	text, err := io.ReadAll(io.LimitReader(r, maxManifest+1))
	if err = errors.Join(err, r.Close()); err == nil && len(text) > maxManifest {
		err = fmt.Errorf("%w: more than %d bytes", ErrManifest, maxManifest)
	}
	if err == nil {
		s.config, s.objects, err = parseManifest(text)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s of %s: %w", manifestKey, name, err)
	}
	return s, nil
}

// openBucket opens what a URL names. Local folders get no files of attributes
// beside the objects, and are made if that is asked for.
func openBucket(ctx context.Context, bucketURL string, create bool) (*blob.Bucket, error) {
	u, err := url.Parse(bucketURL)
	if err != nil {
		return nil, fmt.Errorf("bucket %q: %w", bucketURL, err)
	}
	known := blob.DefaultURLMux().BucketSchemes()
	if !slices.Contains(known, u.Scheme) {
		slices.Sort(known)
		return nil, fmt.Errorf("%w: %q, allowed are %s://, and s3://, gs:// and azblob:// in programs built with the tag cloud",
			ErrScheme, bucketURL, strings.Join(known, "://, "))
	}
	if u.Scheme == "file" {
		q := u.Query()
		q.Set("metadata", "skip")
		q.Set("no_tmp_dir", "true") // a rename must not cross file systems
		if create {
			q.Set("create_dir", "true")
		}
		u.RawQuery = q.Encode()
	}
	b, err := blob.OpenBucket(ctx, u.String())
	if err != nil {
		return nil, fmt.Errorf("bucket %s: %w", bucketURL, err)
	}
	return b, nil
}

// Config is the model's shape.
func (s *Source) Config() model.Config { return s.config }

// Sum is the CRC32C of a blob.
func (s *Source) Sum(id model.BlobID) (sum uint32, known bool) {
	o, known := s.objects[id]
	return o.sum, known
}

// Close closes the bucket.
func (s *Source) Close() error { return s.bucket.Close() }

// ReadBlob reads a blob. See ReadBlobContext.
func (s *Source) ReadBlob(id model.BlobID, dst []byte) error {
	return s.ReadBlobContext(context.Background(), id, dst)
}

// ReadBlobContext reads a blob into dst, which is as long as it, and checks it. A
// read that breaks off goes on from where it did. Errors: ErrLength, ErrChecksum,
// those of the storage, ctx's.
func (s *Source) ReadBlobContext(ctx context.Context, id model.BlobID, dst []byte) error {
	o, ok := s.objects[id]
	if !ok {
		return fmt.Errorf("%s: no %s of %d layers of %d leaves", s.name, id, s.config.Layers, s.config.Leaves)
	}
	if int64(len(dst)) != o.bytes {
		return fmt.Errorf("%s of %s: %w: room for %d bytes, it has %d", o.key, s.name, ErrLength, len(dst), o.bytes)
	}
	if err := s.read(ctx, o, dst); err != nil {
		return fmt.Errorf("read %s of %s: %w", o.key, s.name, err)
	}
	if got := crc32.Checksum(dst, castagnoli); got != o.sum {
		return fmt.Errorf("read %s of %s: %w: it sums to %08x, the manifest says %08x", o.key, s.name, ErrChecksum, got, o.sum)
	}
	return nil
}

// ErrChecksum says that an object is not what was published.
var ErrChecksum = errors.New("wrong checksum of an object")

func (s *Source) read(ctx context.Context, o object, dst []byte) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	done := 0
	for failures := 0; ; {
		n, err := s.readFrom(ctx, o, dst[done:], int64(done))
		done += n
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, ErrLength), gcerrors.Code(err) == gcerrors.NotFound, gcerrors.Code(err) == gcerrors.PermissionDenied:
			return err
		case n > 0:
			failures = 0
		}
		if failures++; failures >= attempts {
			return fmt.Errorf("%d attempts, %d of %d bytes: %w", failures, done, len(dst), err)
		}
		select {
		case <-time.After(time.Duration(failures) * 50 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// readFrom fills dst with the object from offset on, and says how much came.
func (s *Source) readFrom(ctx context.Context, o object, dst []byte, offset int64) (n int, err error) {
	r, err := s.bucket.NewRangeReader(ctx, o.key, offset, int64(len(dst)), nil)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if r.Size() != o.bytes {
		return 0, fmt.Errorf("%w: %d bytes, the manifest says %d", ErrLength, r.Size(), o.bytes)
	}
	return io.ReadFull(r, dst)
}
