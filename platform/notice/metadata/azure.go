package metadata

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spotserve/spotserve/platform/notice"
	"github.com/spotserve/spotserve/platform/notice/internal/watch"
)

// The address and paths of Azure's instance metadata service.
const (
	azureBase   = "http://169.254.169.254"
	azureName   = "/metadata/instance/compute/name?api-version=2021-02-01&format=text"
	azureEvents = "/metadata/scheduledevents?api-version=2020-07-01"
)

const (
	azurePoll = time.Second // as Azure's manual recommends for spot instances
	// azureFirst bounds the first question for events, which switches them on.
	azureFirst = 2 * time.Minute
)

// azureEnds are the events that end what the GPUs of a virtual machine hold.
var azureEnds = []string{"Preempt", "Terminate", "Redeploy", "Reboot"}

type azure struct {
	Options
	client
	name  string               // of this virtual machine in Azure
	begun bool                 // events have been answered
	known map[string]time.Time // deadlines of this machine, by event
}

// Azure watches Scheduled Events: a preemption at least 30 s ahead, and as well
// whatever else takes a virtual machine's memory away. An event that is gone
// before its time is cancelled.
func Azure(o Options) notice.Source {
	if o.Poll == 0 {
		o.Poll = azurePoll
	}
	return &azure{Options: o, client: newClient(o, azureBase), known: make(map[string]time.Time)}
}

// String implements notice.Source.
func (a *azure) String() string { return "azure" }

// Watch implements notice.Source.
func (a *azure) Watch(ctx context.Context, emit func(notice.Notice)) error {
	watch.Every(ctx, a.Poll, a.Log.With("source", a.String()), func(ctx context.Context) error {
		if err := a.learnName(ctx); err != nil {
			return err
		}
		events, err := a.events(ctx)
		if err != nil {
			return err
		}
		a.compare(events, time.Now(), emit)
		return nil
	})
	return nil
}

// learnName asks what this machine is called. The events of an availability set
// are told to all of its machines.
func (a *azure) learnName(ctx context.Context) error {
	if a.name != "" {
		return nil
	}
	got, err := a.get(ctx, azureName, timeout)
	if err != nil {
		return err
	}
	a.name = strings.TrimSpace(string(got.body))
	if a.name == "" {
		return a.unreadable(azureName, got, fmt.Errorf("want the machine's name"))
	}
	return nil
}

func (a *azure) get(ctx context.Context, path string, within time.Duration) (answer, error) {
	got, err := a.ask(ctx, http.MethodGet, path, map[string]string{"Metadata": "true"}, within)
	if err == nil && got.status != http.StatusOK {
		err = a.unexpected(http.MethodGet, path, got)
	}
	return got, err
}

// events asks for the deadlines of the events that end this machine. One that
// has begun has no time any more, and gets the zero time.
func (a *azure) events(ctx context.Context) (map[string]time.Time, error) {
	within := timeout
	if !a.begun {
		within = azureFirst
	}
	got, err := a.get(ctx, azureEvents, within)
	if err != nil {
		return nil, err
	}
	var document struct {
		Events []struct {
			EventID   string   `json:"EventId"`
			EventType string   `json:"EventType"`
			Resources []string `json:"Resources"`
			NotBefore string   `json:"NotBefore"`
		} `json:"Events"`
	}
	if err := json.Unmarshal(got.body, &document); err != nil {
		return nil, a.unreadable(azureEvents, got, err)
	}
	a.begun = true
	out := make(map[string]time.Time)
	for _, e := range document.Events {
		mine := slices.ContainsFunc(e.Resources, func(name string) bool { return strings.EqualFold(name, a.name) })
		if !mine || !slices.Contains(azureEnds, e.EventType) {
			continue
		}
		var at time.Time
		if e.NotBefore != "" {
			if at, err = http.ParseTime(e.NotBefore); err != nil {
				return nil, a.unreadable(azureEvents, got, fmt.Errorf("NotBefore of event %s: %w", e.EventID, err))
			}
		}
		out[e.EventID] = at
	}
	return out, nil
}

// compare tells what has changed since the last answer, and again what has not.
func (a *azure) compare(events map[string]time.Time, now time.Time, emit func(notice.Notice)) {
	over := false // the first of them has come true
	for _, at := range a.known {
		over = over || !now.Before(at)
	}
	for _, id := range slices.Sorted(maps.Keys(a.known)) {
		if _, still := events[id]; !still && !over {
			emit(notice.Notice{Instance: a.Instance, Kind: notice.Cancelled, ID: id})
		}
	}
	known := make(map[string]time.Time, len(events))
	for _, id := range slices.Sorted(maps.Keys(events)) {
		at := events[id]
		if at.IsZero() {
			at = now
			if before, ok := a.known[id]; ok && before.Before(now) {
				at = before
			}
		}
		known[id] = at
		emit(notice.Notice{Instance: a.Instance, Kind: notice.Preemption, Deadline: at, ID: id})
	}
	a.known = known
}
