package metadata

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spotserve/spotserve/platform/notice"
	"github.com/spotserve/spotserve/platform/notice/internal/watch"
)

// The address and paths of Google Compute Engine's metadata server.
const (
	gcpBase        = "http://metadata.google.internal"
	gcpPreempted   = "/computeMetadata/v1/instance/preempted"
	gcpMaintenance = "/computeMetadata/v1/instance/maintenance-event"
)

const (
	// GCPGrace is what Compute Engine leaves a preempted instance.
	GCPGrace = 30 * time.Second
	gcpWait  = time.Minute // that the server holds a question open
	gcpPoll  = time.Second // between two questions that are answered
)

type gcp struct {
	Options
	client
	grace time.Duration
}

// GCP watches Compute Engine's metadata server, which answers when something
// changes: a preempted instance goes a grace period after it says TRUE (0:
// GCPGrace). A host maintenance that ends the instance, known up to an hour ahead
// and at no exact time, recommends a rebalance. Compute Engine never takes a
// preemption back.
func GCP(o Options, grace time.Duration) notice.Source {
	if o.Poll == 0 {
		o.Poll = gcpPoll
	}
	if grace == 0 {
		grace = GCPGrace
	}
	return &gcp{Options: o, client: newClient(o, gcpBase), grace: grace}
}

// String implements notice.Source.
func (g *gcp) String() string { return "gcp" }

// Watch implements notice.Source.
func (g *gcp) Watch(ctx context.Context, emit func(notice.Notice)) error {
	var both sync.WaitGroup
	both.Go(func() {
		var since time.Time // it is preempted
		g.follow(ctx, gcpPreempted, func(value string) error {
			switch value {
			case "TRUE":
				if since.IsZero() {
					since = time.Now()
				}
				emit(notice.Notice{Instance: g.Instance, Kind: notice.Preemption, Deadline: since.Add(g.grace), ID: "preempted"})
			case "FALSE":
			default:
				return fmt.Errorf("known are TRUE and FALSE")
			}
			return nil
		})
	})
	both.Go(func() {
		g.follow(ctx, gcpMaintenance, func(value string) error {
			// Live migrations and whatever may be added do not end the instance.
			if value == "TERMINATE_ON_HOST_MAINTENANCE" {
				emit(notice.Notice{Instance: g.Instance, Kind: notice.Rebalance, ID: value})
			}
			return nil
		})
	})
	both.Wait()
	return nil
}

// follow asks for a value, and from the second time on for its next change. take
// returns an error for a value that it does not know.
func (g *gcp) follow(ctx context.Context, path string, take func(value string) error) {
	etag := ""
	watch.Every(ctx, g.Poll, g.Log.With("source", g.String(), "path", path), func(ctx context.Context) error {
		question, within := path, timeout
		if etag != "" {
			question += "?" + url.Values{
				"wait_for_change": {"true"}, "last_etag": {etag}, "timeout_sec": {strconv.Itoa(int(gcpWait / time.Second))},
			}.Encode()
			within += gcpWait
		}
		got, err := g.ask(ctx, http.MethodGet, question, map[string]string{"Metadata-Flavor": "Google"}, within)
		if err == nil && got.status != http.StatusOK {
			err = g.unexpected(http.MethodGet, path, got)
		}
		if err == nil {
			if err = take(strings.TrimSpace(string(got.body))); err != nil {
				err = g.unreadable(path, got, err)
			}
		}
		if err != nil {
			etag = "" // begin anew: a change may have been missed
			return err
		}
		etag = got.header.Get("Etag")
		return nil
	})
}
