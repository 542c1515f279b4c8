package weights

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/spotserve/spotserve/engine/model"
)

// Loader is a place that blobs come from.
type Loader interface {
	// Load fills dst, which is as long as the blob.
	Load(ctx context.Context, id model.BlobID, dst []byte) error
	// String names the place, in errors and progress.
	String() string
}

// FromSource loads from a model's own place: a file, a seed, a bucket.
func FromSource(name string, s model.Source) Loader { return fromSource{name, s} }

type fromSource struct {
	name   string
	source model.Source
}

func (f fromSource) String() string { return f.name }

// contextReader is a source that can be told to stop.
type contextReader interface {
	ReadBlobContext(ctx context.Context, id model.BlobID, dst []byte) error
}

func (f fromSource) Load(ctx context.Context, id model.BlobID, dst []byte) error {
	if s, ok := f.source.(contextReader); ok {
		return s.ReadBlobContext(ctx, id, dst)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return f.source.ReadBlob(id, dst)
}

// Step is a blob to bring, and the places it may come from, best first.
type Step struct {
	Blob model.BlobID
	From []Loader
}

// Progress is how far a Load has come.
type Progress struct {
	Bytes, Of int64        // of all its blobs
	Blob      model.BlobID // that has just come
	From      Loader       // nil: it was here
}

// Load brings the blobs of a plan, in the order of its steps, at most parallel at a
// time; what is here already is passed over. A place that fails, or gives other
// bytes than were published, is followed by the next one. progress, if set, is told
// of each blob, by one goroutine at a time.
//
// The first blob that no place has ends the load with the errors of all its places;
// so do arena.ErrFull and the end of ctx. What has come by then stays.
func (s *Store) Load(ctx context.Context, steps []Step, parallel int, progress func(Progress)) error {
	var done Progress
	for _, step := range steps {
		if step.Blob.Layer >= 0 && step.Blob.Leaf >= 0 {
			done.Of += s.options.Config.BlobBytes(step.Blob)
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var mu sync.Mutex
	arrived := func(id model.BlobID, from Loader) {
		mu.Lock()
		defer mu.Unlock()
		done.Bytes += s.options.Config.BlobBytes(id)
		done.Blob, done.From = id, from
		if progress != nil {
			progress(done)
		}
	}
	queue := make(chan Step)
	var workers sync.WaitGroup
	for range max(parallel, 1) {
		workers.Go(func() {
			for step := range queue {
				from, err := s.load(ctx, step)
				if err != nil {
					cancel(err)
					continue
				}
				arrived(step.Blob, from)
			}
		})
	}
feed:
	for _, step := range steps {
		select {
		case queue <- step:
		case <-ctx.Done():
			break feed
		}
	}
	close(queue)
	workers.Wait()
	return context.Cause(ctx)
}

// load brings one blob, and says from where.
func (s *Store) load(ctx context.Context, step Step) (Loader, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	g, err := s.Stage(ctx, step.Blob)
	if g == nil || err != nil {
		return nil, err
	}
	errs := []error{}
	for _, from := range step.From {
		err := from.Load(ctx, step.Blob, g.Bytes())
		if err == nil {
			err = g.Check()
		}
		if err == nil {
			g.Put()
			return from, nil
		}
		if ctx.Err() != nil {
			errs = []error{context.Cause(ctx)}
			break
		}
		errs = append(errs, fmt.Errorf("%s: %w", from, err))
	}
	g.Discard()
	if len(errs) == 0 {
		errs = append(errs, errors.New("no place to load it from"))
	}
	return nil, fmt.Errorf("load weights of %s: %w", step.Blob, errors.Join(errs...))
}
