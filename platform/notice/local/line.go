// Package local takes notices from this host: from a file, or by a call over
// HTTP. Both take the same JSON objects:
//
//	{"kind": "preemption", "deadline": "2026-03-01T12:00:30Z"}
//	{"kind": "preemption", "in": "30s"}
//	{"kind": "rebalance"}
//	{"kind": "cancelled"}
//
// "instance", if it is there, is the node that is meant, and "id" goes to the log.
package local

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/spotserve/spotserve/platform/notice"
)

// Options are the settings of a source.
type Options struct {
	Instance string // the node that the notices are about
	Log      *slog.Logger
}

// sizeLimit bounds a file and a body.
const sizeLimit = 64 << 10

// parse reads one object. A deadline that is given as "in" counts from said.
func (o Options) parse(text []byte, said time.Time) (notice.Notice, error) {
	var object struct {
		Instance string     `json:"instance"`
		Kind     string     `json:"kind"`
		Deadline *time.Time `json:"deadline"`
		In       *string    `json:"in"`
		ID       string     `json:"id"`
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&object); err != nil {
		return notice.Notice{}, fmt.Errorf(`%w; allowed are the keys kind, deadline, in, instance and id`, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return notice.Notice{}, errors.New("there is something after the object")
	}
	n := notice.Notice{Instance: o.Instance, Kind: notice.Kind(object.Kind), ID: object.ID}
	if object.Instance != "" && object.Instance != o.Instance {
		return n, fmt.Errorf("instance is %q: this worker's node is %q", object.Instance, o.Instance)
	}
	switch n.Kind {
	case notice.Preemption:
		var err error
		n.Deadline, err = deadline(object.Deadline, object.In, said)
		return n, err
	case notice.Rebalance, notice.Cancelled:
		if object.Deadline != nil || object.In != nil {
			return n, fmt.Errorf("kind %s has no deadline", n.Kind)
		}
		return n, nil
	}
	return n, fmt.Errorf("kind is %q: allowed are preemption, rebalance and cancelled", object.Kind)
}

func deadline(at *time.Time, in *string, said time.Time) (time.Time, error) {
	switch {
	case at != nil && in != nil:
		return time.Time{}, errors.New("deadline and in are both there: one of them is enough")
	case at != nil:
		return *at, nil
	case in != nil:
		wait, err := time.ParseDuration(*in)
		if err != nil || wait < 0 {
			return time.Time{}, fmt.Errorf("in is %q: want a duration such as 30s", *in)
		}
		return said.Add(wait), nil
	}
	return time.Time{}, errors.New(`a preemption needs a "deadline" (RFC 3339) or "in" (a duration such as 30s)`)
}
