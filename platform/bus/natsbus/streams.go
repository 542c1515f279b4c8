package natsbus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/spotserve/spotserve/platform/bus"
)

// ensureStreams makes the streams and the bucket, or brings those that are there to what the
// options ask for.
func ensureStreams(ctx context.Context, js jetstream.JetStream, o Options) error {
	_, err := js.AccountInfo(ctx)
	if errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) {
		return fmt.Errorf("JetStream is off: start the server with nats-server -js, or name another one with --nats: %w", err)
	}
	if err != nil {
		return fmt.Errorf("ask for JetStream: %w", err)
	}
	for _, s := range []bus.Stream{bus.Control, bus.Runs} {
		if err := ensureStream(ctx, js, s, o); err != nil {
			return fmt.Errorf("stream %s: %w", s, err)
		}
	}
	if o.Replicas == 0 {
		return nil // the bucket is made by whoever needs it first
	}
	if _, err := js.CreateOrUpdateKeyValue(ctx, o.bucketConfig()); err != nil {
		return fmt.Errorf("bucket %s: %w", bucket, err)
	}
	return nil
}

func ensureStream(ctx context.Context, js jetstream.JetStream, s bus.Stream, o Options) error {
	stream, err := js.Stream(ctx, string(s))
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		_, err = js.CreateStream(ctx, jetstream.StreamConfig{
			Name:       string(s),
			Subjects:   []string{s.Subjects()},
			Retention:  jetstream.LimitsPolicy,
			Discard:    jetstream.DiscardOld,
			Storage:    jetstream.FileStorage,
			Replicas:   max(o.Replicas, 1),
			Duplicates: orDefault(o.DuplicateWindow, 2*time.Minute),
			FirstSeq:   o.FirstSeq,
		})
		if !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			return err
		}
		// Another process was faster, with another first sequence.
		stream, err = js.Stream(ctx, string(s))
	}
	if err != nil {
		return err
	}
	have := stream.CachedInfo().Config
	if have.Retention != jetstream.LimitsPolicy || have.MaxAge > 0 || have.MaxMsgs > 0 || have.MaxBytes > 0 {
		return fmt.Errorf("it is there with %v retention, age limit %v, %d messages and %d bytes: want limits retention and no limits",
			have.Retention, have.MaxAge, have.MaxMsgs, have.MaxBytes)
	}
	want := have
	want.Subjects = []string{s.Subjects()}
	want.Replicas = orDefault(o.Replicas, have.Replicas)
	want.Duplicates = orDefault(o.DuplicateWindow, have.Duplicates)
	if slices.Equal(want.Subjects, have.Subjects) && want.Replicas == have.Replicas && want.Duplicates == have.Duplicates {
		return nil
	}
	_, err = js.UpdateStream(ctx, want)
	return err
}

func orDefault[T int | time.Duration](v, byDefault T) T {
	if v == 0 {
		return byDefault
	}
	return v
}
