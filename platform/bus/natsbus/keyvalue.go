package natsbus

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/bus/jsapi"
)

const bucket = bus.Keys

var keyStream = jsapi.KeyStream(bucket)

// bucketConfig is what a bucket of keys is to the server. The client's own call to
// make one would let every message roll the stream up: whoever may write one key
// could erase all others with it, leases too.
func (o Options) bucketConfig() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:              keyStream,
		Description:       "SpotServe: leases and addresses",
		Subjects:          []string{jsapi.Key(bucket, ">")},
		MaxMsgsPerSubject: 1,
		Discard:           jetstream.DiscardNew,
		Storage:           jetstream.FileStorage,
		Replicas:          max(1, o.Replicas),
		AllowDirect:       true,
		DenyDelete:        true,
	}
}

// Get implements bus.KeyValue.
func (b *Bus) Get(ctx context.Context, key string) (value []byte, revision uint64, err error) {
	err = b.keys(ctx, jsapi.DirectGet(keyStream, jsapi.Key(bucket, key)), func(ctx context.Context, kv jetstream.KeyValue) error {
		entry, err := kv.Get(ctx, key)
		if errors.Is(err, jetstream.ErrKeyNotFound) {
			value, revision = nil, 0
			return nil
		} else if err == nil {
			value, revision = entry.Value(), entry.Revision()
		}
		return err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("bus: get key %s: %w", key, err)
	}
	return value, revision, nil
}

// Put implements bus.KeyValue.
func (b *Bus) Put(ctx context.Context, key string, value []byte, revision uint64) (next uint64, err error) {
	err = b.keys(ctx, jsapi.Key(bucket, key), func(ctx context.Context, kv jetstream.KeyValue) (err error) {
		next, err = kv.Update(ctx, key, value, revision)
		return err
	})
	var refused *jetstream.APIError
	switch {
	case err == nil:
		return next, nil
	case errors.As(err, &refused) && refused.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence:
		return 0, fmt.Errorf("%w: key %s, expected was revision %d", bus.ErrTaken, key, revision)
	}
	return 0, fmt.Errorf("bus: put key %s: %w", key, err)
}

// keys hands the bucket to use, which asks a subject.
func (b *Bus) keys(ctx context.Context, subject string, use func(context.Context, jetstream.KeyValue) error) error {
	if err := b.usable(ctx); err != nil {
		return err
	}
	return b.link.do(ctx, b.open, []string{jsapi.StreamInfo(keyStream), subject}, func(ctx context.Context, c *conn) error {
		kv, err := c.js.KeyValue(ctx, bucket)
		if errors.Is(err, jetstream.ErrBucketNotFound) {
			// It went with the server's disk.
			if err = ensureBucket(ctx, c); err == nil {
				kv, err = c.js.KeyValue(ctx, bucket)
			}
		}
		if err != nil {
			return err
		}
		return use(ctx, kv)
	})
}
