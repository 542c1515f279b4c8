package mockmetadata

import (
	"context"
	"fmt"
	"hash/fnv"
	"net/http"
	"strconv"
	"time"

	"github.com/spotserve/spotserve/core/vtime"
)

// The paths of Compute Engine's metadata server.
const (
	gcpPreempted   = "/computeMetadata/v1/instance/preempted"
	gcpMaintenance = "/computeMetadata/v1/instance/maintenance-event"
)

func (s *Server) preempted(v view) string {
	if v.goes != vtime.Never {
		return "TRUE"
	}
	return "FALSE"
}

func (s *Server) maintenance(v view) string {
	if v.atRisk {
		return "TERMINATE_ON_HOST_MAINTENANCE"
	}
	return "NONE"
}

// value serves a value as Compute Engine does: at once, or with
// wait_for_change=true when it is another than that of last_etag (without one:
// than now), at the latest after timeout_sec.
func (s *Server) value(of func(view) string) func(string, http.ResponseWriter, *http.Request) {
	return func(node string, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Metadata-Flavor", "Google")
		if r.Header.Get("Metadata-Flavor") != "Google" {
			http.Error(w, "Missing required header: Metadata-Flavor", http.StatusForbidden)
			return
		}
		v := s.now(node)
		q := r.URL.Query()
		if q.Get("wait_for_change") == "true" {
			known := etag(of(v))
			if last := q.Get("last_etag"); last != "" {
				known = last
			}
			ctx := r.Context()
			if limit := q.Get("timeout_sec"); limit != "" {
				seconds, err := strconv.Atoi(limit)
				if err != nil || seconds < 0 {
					http.Error(w, fmt.Sprintf("timeout_sec is %q: want seconds", limit), http.StatusBadRequest)
					return
				}
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, time.Duration(seconds)*time.Second)
				defer cancel()
			}
			for etag(of(v)) == known && ctx.Err() == nil {
				_ = s.Clock.Sleep(ctx, v.changes) // its end is the answer too
				v = s.now(node)
			}
		}
		w.Header().Set("ETag", etag(of(v)))
		w.Header().Set("Content-Type", "application/text")
		_, _ = w.Write([]byte(of(v)))
	}
}

// etag names a value.
func etag(value string) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(value))
	return strconv.FormatUint(h.Sum64(), 16)
}
