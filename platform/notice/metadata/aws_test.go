package metadata_test

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spotserve/spotserve/platform/notice/metadata"
)

// ec2 is EC2's side of the contract: nothing without a token, and tokens end.
type ec2 struct {
	*cloud
	tokens    int
	ttl       time.Duration // of the tokens that it gives, whatever it is asked for
	expires   time.Time
	action    func() string // empty: 404
	rebalance func() string
}

func (e *ec2) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	const path = "/latest/api/token"
	if r.URL.Path == path {
		ttl, err := strconv.Atoi(r.Header.Get("X-aws-ec2-metadata-token-ttl-seconds"))
		if r.Method != http.MethodPut || err != nil || ttl < 1 || ttl > 21600 {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		e.tokens++
		e.expires = time.Now().Add(e.ttl)
		fmt.Fprintf(w, "token-%d", e.tokens)
		return
	}
	if r.Header.Get("X-aws-ec2-metadata-token") != fmt.Sprintf("token-%d", e.tokens) || time.Now().After(e.expires) {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	body := ""
	switch r.URL.Path {
	case "/latest/meta-data/spot/instance-action":
		body = e.action()
	case "/latest/meta-data/events/recommendations/rebalance":
		body = e.rebalance()
	}
	if body == "" {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	_, _ = w.Write([]byte(body))
}

// from returns body from an instant on, and nothing before.
func (c *cloud) from(at time.Duration, body string) func() string {
	return func() string {
		if c.passed() < at {
			return ""
		}
		return body
	}
}

func (c *cloud) stamp(at time.Duration) string { return c.began.Add(at).UTC().Format(time.RFC3339) }

func never() string { return "" }

// TestAWS: 404 is no news; a rebalance recommendation comes first, then the
// notice with its time. Both are asked for every five seconds.
func TestAWS(t *testing.T) {
	for _, action := range []string{"terminate", "stop", "hibernate"} {
		c := watch(t, 5*time.Minute, metadata.AWS, func(c *cloud) http.HandlerFunc {
			return (&ec2{
				cloud: c, ttl: 6 * time.Hour,
				action:    c.from(90*time.Second, fmt.Sprintf(`{"action":%q,"time":%q,"new":"key"}`, action, c.stamp(210*time.Second))),
				rebalance: c.from(31*time.Second, fmt.Sprintf(`{"noticeTime":%q}`, c.stamp(31*time.Second))),
			}).ServeHTTP
		})
		c.mustTell("35s rebalance", "1m30s preemption at 3m30s")
		c.mustLog(0, "WARN")
		want := []string{
			"0s PUT /latest/api/token", "0s GET /latest/meta-data/spot/instance-action", "0s GET /latest/meta-data/events/recommendations/rebalance",
			"5s GET /latest/meta-data/spot/instance-action", "5s GET /latest/meta-data/events/recommendations/rebalance",
		}
		if !slices.Equal(c.requests[:5], want) {
			t.Errorf("asked\n%s\nwant\n%s", strings.Join(c.requests[:5], "\n"), strings.Join(want, "\n"))
		}
	}
}

// TestAWSRenewsItsToken, ahead of its end, and when EC2 has forgotten it.
func TestAWSRenewsItsToken(t *testing.T) {
	var service *ec2
	c := watch(t, 13*time.Hour, metadata.AWS, func(c *cloud) http.HandlerFunc {
		service = &ec2{cloud: c, ttl: 6 * time.Hour, action: never, rebalance: never}
		return service.ServeHTTP
	})
	if service.tokens != 3 {
		t.Errorf("%d tokens in 13 hours, want 3 of 6 hours", service.tokens)
	}
	c.mustLog(0, "WARN")

	c = watch(t, time.Hour, metadata.AWS, func(c *cloud) http.HandlerFunc {
		service = &ec2{cloud: c, ttl: time.Minute, action: c.from(50*time.Minute, fmt.Sprintf(`{"action":"stop","time":%q}`, c.stamp(52*time.Minute))), rebalance: never}
		return service.ServeHTTP
	})
	c.mustTell("50m0s preemption at 52m0s")
	c.mustLog(0, "WARN")
	if service.tokens < 50 || service.tokens > 60 {
		t.Errorf("%d tokens in an hour, want one a minute", service.tokens)
	}
}

// TestAWSComesBack: a notice that stands while the service fails is told once the
// service answers again.
func TestAWSComesBack(t *testing.T) {
	c := watch(t, 5*time.Minute, metadata.AWS, func(c *cloud) http.HandlerFunc {
		service := &ec2{cloud: c, ttl: 6 * time.Hour, rebalance: never, action: c.from(20*time.Second, fmt.Sprintf(`{"action":"terminate","time":%q}`, c.stamp(140*time.Second)))}
		return func(w http.ResponseWriter, r *http.Request) {
			if at := c.passed(); at > 12*time.Second && at < 60*time.Second {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			service.ServeHTTP(w, r)
		}
	})
	if len(c.told) != 1 || !strings.HasSuffix(c.told[0], "preemption at 2m20s") {
		t.Errorf("told %v", c.told)
	}
	if at, _ := time.ParseDuration(strings.Fields(c.told[0])[0]); at < time.Minute || at > 65*time.Second {
		t.Errorf("told at %s, want within 5 s of the first minute", at)
	}
	c.mustLog(1, "level=WARN")
	c.mustLog(1, "answers again")
}

// TestAWSWantsToKnowWhatItReads.
func TestAWSWantsToKnowWhatItReads(t *testing.T) {
	for body, want := range map[string]string{
		`{"action":"dance","time":"2026-03-01T12:00:00Z"}`: `action is \"dance\"`,
		`{"action":"stop"}`:                  "time is missing",
		`{"action":"stop","time":"at noon"}`: "cannot read the answer",
	} {
		c := watch(t, time.Minute, metadata.AWS, func(c *cloud) http.HandlerFunc {
			return (&ec2{cloud: c, ttl: 6 * time.Hour, action: c.from(0, body), rebalance: never}).ServeHTTP
		})
		c.mustTell()
		c.mustLog(1, "level=WARN")
		if !strings.Contains(strings.ReplaceAll(c.log.String(), `\\\"`, `\"`), want) {
			t.Errorf("%s: the log lacks %s:\n%s", body, want, c.log.String())
		}
	}
}
