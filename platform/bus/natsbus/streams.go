package natsbus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/bus/jsapi"
)

// ensureStreams makes the streams and the bucket, or brings those that are there
// to what the options ask for. A user who may not make them waits for one who may
// (bus.ErrAway); one who may not change them takes them as they are.
func ensureStreams(ctx context.Context, c *conn) error {
	err := c.guarded(ctx, []string{jsapi.Info}, func(ctx context.Context) error {
		_, err := c.js.AccountInfo(ctx)
		return err
	})
	if errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) {
		return fmt.Errorf("JetStream is off: start the server with nats-server -js, or name another one with --nats: %w", err)
	}
	if err != nil {
		return fmt.Errorf("ask for JetStream: %w", err)
	}
	for _, s := range []bus.Stream{bus.Control, bus.Runs} {
		if err := ensureStream(ctx, c, s); err != nil {
			return fmt.Errorf("stream %s: %w", s, err)
		}
	}
	if err := ensureBucket(ctx, c); err != nil {
		return fmt.Errorf("bucket %s: %w", bucket, err)
	}
	return nil
}

// stream asks for a stream; it is nil if it is not there.
func (c *conn) stream(ctx context.Context, name string) (s jetstream.Stream, err error) {
	err = c.guarded(ctx, []string{jsapi.StreamInfo(name)}, func(ctx context.Context) (err error) {
		s, err = c.js.Stream(ctx, name)
		return err
	})
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, nil //nolint:nilnil // it is not there, which is no error
	}
	return s, err
}

// made is the error of making a stream that was not there.
func (c *conn) made(ctx context.Context, name string, create func(context.Context) error) error {
	err := c.tried(ctx, jsapi.StreamCreate(name), create)
	if errors.Is(err, bus.ErrDenied) {
		return fmt.Errorf("%w: it is not there, and %s may not make it: the first trace-replayer, planner or collector does", bus.ErrAway, c.options.who())
	}
	return err
}

// changed is the error of changing a stream. Without the right to, it stays as it
// is, and somebody else may change it.
func (c *conn) changed(ctx context.Context, name string, update func(context.Context) error) error {
	err := c.tried(ctx, jsapi.StreamUpdate(name), update)
	if errors.Is(err, bus.ErrDenied) {
		c.options.Log.Info("a stream is not as this process would have it, and stays so: a collector or an operator changes it", "stream", name, "user", c.options.who())
		return nil
	}
	return err
}

func ensureStream(ctx context.Context, c *conn, s bus.Stream) error {
	o := c.options
	stream, err := c.stream(ctx, string(s))
	if err != nil {
		return err
	}
	if stream == nil {
		err := c.made(ctx, string(s), func(ctx context.Context) error {
			_, err := c.js.CreateStream(ctx, jetstream.StreamConfig{
				Name:       string(s),
				Subjects:   []string{s.Subjects()},
				Retention:  jetstream.LimitsPolicy,
				Discard:    jetstream.DiscardOld,
				Storage:    jetstream.FileStorage,
				Replicas:   max(o.Replicas, 1),
				MaxMsgSize: bus.MaxMessage,
				Duplicates: orDefault(o.DuplicateWindow, 2*time.Minute),
				FirstSeq:   o.FirstSeq,
			})
			return err
		})
		if !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			return err
		}
		// Another process was faster, with another first sequence.
		if stream, err = c.stream(ctx, string(s)); err != nil {
			return err
		} else if stream == nil {
			return jetstream.ErrStreamNotFound // removed at once
		}
	}
	have := stream.CachedInfo().Config
	if have.Retention != jetstream.LimitsPolicy || have.MaxAge > 0 || have.MaxMsgs > 0 || have.MaxBytes > 0 {
		return fmt.Errorf("it is there with %v retention, age limit %v, %d messages and %d bytes: want limits retention and no limits",
			have.Retention, have.MaxAge, have.MaxMsgs, have.MaxBytes)
	}
	want := have
	want.Subjects = []string{s.Subjects()}
	want.MaxMsgSize = bus.MaxMessage
	want.Replicas = orDefault(o.Replicas, have.Replicas)
	want.Duplicates = orDefault(o.DuplicateWindow, have.Duplicates)
	if slices.Equal(want.Subjects, have.Subjects) && want.Replicas == have.Replicas && want.MaxMsgSize == have.MaxMsgSize && want.Duplicates == have.Duplicates {
		return nil
	}
	return c.changed(ctx, string(s), func(ctx context.Context) error {
		_, err := c.js.UpdateStream(ctx, want)
		return err
	})
}

// ensureBucket makes the bucket, or brings it to what the options ask for.
func ensureBucket(ctx context.Context, c *conn) error {
	stream, err := c.stream(ctx, keyStream)
	if err != nil {
		return err
	}
	if stream == nil {
		err := c.made(ctx, keyStream, func(ctx context.Context) error {
			_, err := c.js.CreateStream(ctx, c.options.bucketConfig())
			return err
		})
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			return nil // another process was faster
		}
		return err
	}
	have := stream.CachedInfo().Config
	want := have
	want.AllowRollup = false // a bucket that others made has it
	want.Replicas = orDefault(c.options.Replicas, have.Replicas)
	if want.AllowRollup == have.AllowRollup && want.Replicas == have.Replicas {
		return nil
	}
	return c.changed(ctx, keyStream, func(ctx context.Context) error {
		_, err := c.js.UpdateStream(ctx, want)
		return err
	})
}

func orDefault[T int | time.Duration](v, byDefault T) T {
	if v == 0 {
		return byDefault
	}
	return v
}
