package metadata_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spotserve/spotserve/platform/notice"
	"github.com/spotserve/spotserve/platform/notice/metadata"
)

// computeEngine answers as Google's metadata server does: at once, or, with
// wait_for_change, when the value is another than that of last_etag.
type computeEngine struct {
	*cloud
	preempted, maintenance func() string
	waited                 int // questions that were held open
}

func (g *computeEngine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Metadata-Flavor") != "Google" {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	value, ok := map[string]func() string{
		"/computeMetadata/v1/instance/preempted":         g.preempted,
		"/computeMetadata/v1/instance/maintenance-event": g.maintenance,
	}[r.URL.Path]
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	q := r.URL.Query()
	if q.Get("wait_for_change") == "true" {
		g.mu.Lock()
		g.waited++
		g.mu.Unlock()
		seconds, err := strconv.Atoi(q.Get("timeout_sec"))
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		for end := time.Now().Add(time.Duration(seconds) * time.Second); value() == q.Get("last_etag") && time.Now().Before(end); {
			time.Sleep(time.Second)
		}
	}
	w.Header().Set("ETag", value())
	_, _ = w.Write([]byte(value() + "\n"))
}

// turns returns before until an instant, and after from then on.
func (c *cloud) turns(before string, at time.Duration, after string) func() string {
	return func() string {
		if c.passed() < at {
			return before
		}
		return after
	}
}

// TestGCP: it hears of a change when it happens, by holding its question open;
// the instance goes a grace period later, however often that is said.
func TestGCP(t *testing.T) {
	var service *computeEngine
	c := watch(t, 10*time.Minute, gcp, func(c *cloud) http.HandlerFunc {
		service = &computeEngine{
			cloud: c, preempted: c.turns("FALSE", 300*time.Second, "TRUE"),
			maintenance: c.turns("NONE", 100*time.Second, "TERMINATE_ON_HOST_MAINTENANCE"),
		}
		return service.ServeHTTP
	})
	c.mustLog(0, "WARN")
	if len(c.told) != 2 {
		t.Fatalf("told %v", c.told)
	}
	for i, want := range []struct {
		kind     string
		from, to time.Duration
	}{{"rebalance", 100 * time.Second, 102 * time.Second}, {"preemption", 300 * time.Second, 302 * time.Second}} {
		fields := strings.Fields(c.told[i])
		at, err := time.ParseDuration(fields[0])
		if err != nil || fields[1] != want.kind || at < want.from || at > want.to {
			t.Errorf("told %q, want %s between %s and %s", c.told[i], want.kind, want.from, want.to)
		}
		if want.kind == "preemption" {
			if deadline, err := time.ParseDuration(fields[3]); err != nil || deadline-at != metadata.GCPGrace {
				t.Errorf("told %q, want the deadline 30 s later", c.told[i])
			}
		}
	}
	if len(c.requests) > 50 || service.waited < 10 {
		t.Errorf("%d requests in ten minutes, of which %d wait", len(c.requests), service.waited)
	}
}

// TestGCPWithAnotherGrace, which an instance may have.
func TestGCPWithAnotherGrace(t *testing.T) {
	c := watch(t, time.Minute, func(o metadata.Options) notice.Source { return metadata.GCP(o, 2*time.Minute) }, func(c *cloud) http.HandlerFunc {
		return (&computeEngine{cloud: c, preempted: c.turns("TRUE", 0, "TRUE"), maintenance: c.turns("NONE", 0, "MIGRATE_ON_HOST_MAINTENANCE")}).ServeHTTP
	})
	c.mustTell("0s preemption at 2m0s")
}

// TestGCPWhereNobodyWaits: a server that answers at once is asked once a second.
func TestGCPWhereNobodyWaits(t *testing.T) {
	c := watch(t, time.Minute, gcp, func(c *cloud) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", "same")
			if strings.HasSuffix(r.URL.Path, "preempted") {
				_, _ = w.Write([]byte(c.turns("FALSE", 30*time.Second, "TRUE")()))
				return
			}
			_, _ = w.Write([]byte("NONE"))
		}
	})
	c.mustTell("30s preemption at 1m0s")
	c.mustBeCalm(2)
}

// TestGCPAfterABrokenWait: the connection breaks while it waits, and the change
// that happened meanwhile is not missed.
func TestGCPAfterABrokenWait(t *testing.T) {
	c := watch(t, time.Minute, gcp, func(c *cloud) http.HandlerFunc {
		service := &computeEngine{cloud: c, preempted: c.turns("FALSE", 10*time.Second, "TRUE"), maintenance: c.turns("NONE", 0, "NONE")}
		return func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("wait_for_change") == "true" && c.passed() < 10*time.Second {
				time.Sleep(12*time.Second - c.passed())
				w.WriteHeader(refused)
				return
			}
			service.ServeHTTP(w, r)
		}
	})
	if len(c.told) != 1 || !strings.Contains(c.told[0], "preemption") {
		t.Fatalf("told %v", c.told)
	}
	if at, _ := time.ParseDuration(strings.Fields(c.told[0])[0]); at > 13*time.Second {
		t.Errorf("told at %s, want within a second of the break at 12 s", at)
	}
}
