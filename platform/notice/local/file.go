package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/spotserve/spotserve/platform/notice"
	"github.com/spotserve/spotserve/platform/notice/internal/watch"
)

const filePoll = time.Second

type file struct {
	Options
	path string
	poll time.Duration
	seen []byte // the file's content that has been taken
}

// File watches a file with one notice a line, which may come, grow and be
// replaced. It is read every poll (0: a second). "in" counts from the file's last
// change. Preemptions that are over when they are read are left out, as a file
// outlives what it tells.
func File(path string, poll time.Duration, o Options) notice.Source {
	if poll == 0 {
		poll = filePoll
	}
	return &file{Options: o, path: path, poll: poll}
}

// String implements notice.Source.
func (f *file) String() string { return "file:" + f.path }

// Watch implements notice.Source.
func (f *file) Watch(ctx context.Context, emit func(notice.Notice)) error {
	watch.Every(ctx, f.poll, f.Log.With("source", f.String()), func(context.Context) error {
		content, changed, err := f.read()
		if err != nil {
			return err
		}
		f.take(content, changed, emit)
		return nil
	})
	return nil
}

// read returns the file's content and when it was changed. A file that is not
// there has none.
func (f *file) read() (content []byte, changed time.Time, err error) {
	r, err := os.Open(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, time.Time{}, nil
	}
	if err != nil {
		return nil, time.Time{}, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	content, err = io.ReadAll(io.LimitReader(r, sizeLimit+1))
	if err != nil {
		return nil, time.Time{}, err
	}
	if len(content) > sizeLimit {
		return nil, time.Time{}, fmt.Errorf("%s is longer than %d bytes", f.path, sizeLimit)
	}
	info, err := r.Stat()
	if err != nil {
		return nil, time.Time{}, err
	}
	return content, info.ModTime(), nil
}

// take reads the lines that are new: the end of a file that has grown, all of
// one that is another. A last line is taken without its line break if it is a
// whole object; else its writer is not done.
func (f *file) take(content []byte, changed time.Time, emit func(notice.Notice)) {
	fresh, grown := bytes.CutPrefix(content, f.seen)
	if !grown {
		fresh = content
	}
	line := 1 + bytes.Count(content[:len(content)-len(fresh)], []byte("\n"))
	for len(fresh) > 0 {
		text, rest, whole := bytes.Cut(fresh, []byte("\n"))
		n, err := f.parse(text, changed)
		switch {
		case len(bytes.TrimSpace(text)) == 0:
		case err != nil && !whole:
			f.seen = content[:len(content)-len(fresh)]
			return
		case err != nil:
			f.Log.Warn("skip a notice that cannot be read", "file", f.path, "line", line, "error", err)
		case n.Kind == notice.Preemption && n.Deadline.Before(time.Now()):
			f.Log.Info("skip a notice that is over", "file", f.path, "line", line, "deadline", n.Deadline)
		default:
			emit(n)
		}
		fresh = rest
		line++
	}
	f.seen = content
}
