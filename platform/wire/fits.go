package wire

import (
	"errors"
	"fmt"

	"github.com/spotserve/spotserve/core/event"
)

// Why a message is skipped, beside being unreadable.
var (
	// ErrUnfit: what it says does not belong on its subject. Permissions are by
	// subject, so it may be the word of one who speaks for another.
	ErrUnfit = errors.New("it does not belong on its subject")
	// ErrUnknown: a newer service says something that this build has no name for.
	ErrUnknown = errors.New("unknown to this build")
	// ErrTooNew: it is of a version that this build does not read.
	ErrTooNew = errors.New("too new for this build")
)

// fits says whether e belongs on the subject that it came on: run, kind, the node
// of the subject and the source that may speak there. The one place that Subject
// gives an event is the only one where it is believed.
func fits(subject string, e event.Event) error {
	want, err := Subject(e)
	if err == nil && want != subject {
		err = fmt.Errorf("event %s of run %q belongs on %s", e.ID(), e.Run, want)
	}
	if err != nil {
		return fmt.Errorf("wire: message on %s: %w: %w", subject, ErrUnfit, err)
	}
	return nil
}
