package dataplane

import (
	"errors"
	"fmt"
)

// refusal says over the wire which error it is. Codes are never given another
// meaning.
type refusal uint8

var refusals = map[refusal]error{
	1:  ErrNotHeld,
	2:  ErrLength,
	3:  ErrFrame,
	4:  ErrWrongNode,
	5:  ErrBusy,
	6:  ErrProvider,
	7:  ErrEpoch,
	8:  ErrVersion,
	9:  ErrChecksum,
	10: ErrOverflow,
}

// codeOf is the code of err; what has none is ErrProvider.
func codeOf(err error) refusal {
	for code := refusal(1); int(code) <= len(refusals); code++ {
		if errors.Is(err, refusals[code]) {
			return code
		}
	}
	return codeOf(ErrProvider)
}

func (r refusal) asError(body []byte) error {
	d := decoder{rest: body}
	text := d.text(maxReason)
	known, ok := refusals[r]
	if !ok || d.done() != nil {
		return fmt.Errorf("%w: refusal %d: %q", ErrFrame, r, text)
	}
	return &refusedError{known, text}
}

// refusedError is an error of the peer's, with its own words.
type refusedError struct {
	known error
	text  string
}

func (e *refusedError) Error() string { return "refused: " + e.text }
func (e *refusedError) Unwrap() error { return e.known }

// refuse tells the peer why, in at most maxReason bytes.
func (w *wire) refuse(err error) error {
	text := err.Error()
	if len(text) > maxReason {
		text = text[:maxReason]
	}
	return w.send(frameRefused, codeOf(err), appendText(nil, text))
}
