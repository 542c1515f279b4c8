package metadata_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/spotserve/spotserve/platform/notice/metadata"
)

// azureEvent is one of the scheduled events; it is listed from Shown until Gone.
type azureEvent struct {
	EventId, EventType, NotBefore string
	Resources                     []string // names of machines
	shown, gone                   time.Duration
}

// azureService answers as Azure's metadata service does.
func azureService(c *cloud, events ...azureEvent) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if r.Header.Get("Metadata") != "true" || q.Get("api-version") == "" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		switch r.URL.Path {
		case "/metadata/instance/compute/name":
			_, _ = w.Write([]byte("vm-7"))
		case "/metadata/scheduledevents":
			listed := []azureEvent{}
			for _, e := range events {
				if at := c.passed(); e.shown <= at && at < e.gone {
					listed = append(listed, e)
				}
			}
			if err := json.NewEncoder(w).Encode(map[string]any{"DocumentIncarnation": len(listed), "Events": listed}); err != nil {
				c.t.Error(err)
			}
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}
}

func (c *cloud) http(at time.Duration) string { return c.began.Add(at).UTC().Format(http.TimeFormat) }

// TestAzure: this machine's events alone, once each, and those that end it alone.
func TestAzure(t *testing.T) {
	c := watch(t, 3*time.Minute, metadata.Azure, func(c *cloud) http.HandlerFunc {
		return azureService(c,
			azureEvent{EventId: "A", EventType: "Freeze", Resources: []string{"vm-7"}, NotBefore: c.http(30 * time.Second), gone: time.Hour},
			azureEvent{EventId: "B", EventType: "Preempt", Resources: []string{"vm-8"}, NotBefore: c.http(30 * time.Second), gone: time.Hour},
			azureEvent{EventId: "C", EventType: "Preempt", Resources: []string{"vm-1", "VM-7"}, NotBefore: c.http(120 * time.Second), shown: 80 * time.Second, gone: 121 * time.Second},
		)
	})
	c.mustTell("1m20s preemption at 2m0s")
	c.mustLog(0, "WARN")
	c.mustBeCalm(2)
}

// TestAzureCancels: an event that is gone before its time is taken back; one that
// goes at its time has happened.
func TestAzureCancels(t *testing.T) {
	for _, kind := range []string{"Preempt", "Terminate", "Redeploy", "Reboot"} {
		c := watch(t, 3*time.Minute, metadata.Azure, func(c *cloud) http.HandlerFunc {
			return azureService(c,
				azureEvent{EventId: "A", EventType: kind, Resources: []string{"vm-7"}, NotBefore: c.http(60 * time.Second), shown: 20 * time.Second, gone: 40 * time.Second},
				azureEvent{EventId: "B", EventType: kind, Resources: []string{"vm-7"}, NotBefore: c.http(150 * time.Second), shown: 90 * time.Second, gone: 151 * time.Second},
			)
		})
		c.mustTell("20s preemption at 1m0s", "40s cancelled", "1m30s preemption at 2m30s")
	}
}

// TestAzureRepeatsItselfUnderAnotherID: one preemption, then an earlier one.
func TestAzureRepeatsItselfUnderAnotherID(t *testing.T) {
	c := watch(t, 3*time.Minute, metadata.Azure, func(c *cloud) http.HandlerFunc {
		return azureService(c,
			azureEvent{EventId: "A", EventType: "Preempt", Resources: []string{"vm-7"}, NotBefore: c.http(120 * time.Second), shown: 20 * time.Second, gone: 71 * time.Second},
			azureEvent{EventId: "B", EventType: "Preempt", Resources: []string{"vm-7"}, NotBefore: c.http(121 * time.Second), shown: 30 * time.Second, gone: 71 * time.Second},
			azureEvent{EventId: "C", EventType: "Preempt", Resources: []string{"vm-7"}, NotBefore: c.http(70 * time.Second), shown: 40 * time.Second, gone: 71 * time.Second},
		)
	})
	c.mustTell("20s preemption at 2m0s", "40s preemption at 1m10s")
}

// TestAzureEventThatHasBegun has no time any more: the machine goes now.
func TestAzureEventThatHasBegun(t *testing.T) {
	c := watch(t, time.Minute, metadata.Azure, func(c *cloud) http.HandlerFunc {
		return azureService(c,
			azureEvent{EventId: "A", EventType: "Preempt", Resources: []string{"vm-7"}, NotBefore: c.http(50 * time.Second), shown: 10 * time.Second, gone: 20 * time.Second},
			azureEvent{EventId: "A", EventType: "Preempt", Resources: []string{"vm-7"}, shown: 20 * time.Second, gone: time.Hour},
		)
	})
	c.mustTell("10s preemption at 50s", "20s preemption at 20s")
}

// TestAzureAnswersLateAtFirst: the first question for events switches them on,
// which may take two minutes.
func TestAzureAnswersLateAtFirst(t *testing.T) {
	asked := false
	c := watch(t, 5*time.Minute, metadata.Azure, func(c *cloud) http.HandlerFunc {
		service := azureService(c, azureEvent{EventId: "A", EventType: "Preempt", Resources: []string{"vm-7"}, NotBefore: c.http(200 * time.Second), gone: time.Hour})
		return func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "scheduledevents") && !asked {
				asked = true
				time.Sleep(100 * time.Second)
			}
			service(w, r)
		}
	})
	c.mustTell("1m40s preemption at 3m20s")
	c.mustLog(0, "WARN")
}

// TestAzureFailureCancelsNothing: no answer is not the answer that all is well.
func TestAzureFailureCancelsNothing(t *testing.T) {
	c := watch(t, 2*time.Minute, metadata.Azure, func(c *cloud) http.HandlerFunc {
		service := azureService(c, azureEvent{EventId: "A", EventType: "Preempt", Resources: []string{"vm-7"}, NotBefore: c.http(100 * time.Second), shown: 10 * time.Second, gone: time.Hour})
		return func(w http.ResponseWriter, r *http.Request) {
			if at := c.passed(); at > 20*time.Second && at < 60*time.Second {
				w.WriteHeader(http.StatusInternalServerError)
				return
			}
			service(w, r)
		}
	})
	c.mustTell("10s preemption at 1m40s")
	c.mustLog(1, "level=WARN")
}
