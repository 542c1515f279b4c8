package mockmetadata_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spotserve/spotserve/catalog"
	"github.com/spotserve/spotserve/cmd/spotserve/internal/mockmetadata"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/vtime"
	"github.com/spotserve/spotserve/platform/clock"
)

// trace has a node that goes and comes back, and one that stays.
var trace = []catalog.FleetChange{
	{At: 0, Kind: experiment.Add, Nodes: []string{"a", "b"}},
	{At: vtime.Seconds(300), Kind: experiment.Remove, Nodes: []string{"a"}},
	{At: vtime.Seconds(400), Kind: experiment.Throughput, RequiredThroughput: 2},
	{At: vtime.Seconds(500), Kind: experiment.Add, Nodes: []string{"a"}},
	{At: vtime.Seconds(900), Kind: experiment.Remove, Nodes: []string{"a"}},
}

// bubble gives a mock of the trace, at a scale, on a clock that a test can turn.
func bubble(t *testing.T, scale float64, test func(t *testing.T, m *mock)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		pace, err := clock.New(time.Now(), scale)
		if err != nil {
			t.Fatal(err)
		}
		s, err := mockmetadata.New(mockmetadata.Options{
			Changes: trace, Node: "a", Dialects: mockmetadata.Dialects(), Clock: pace, Grace: 30 * time.Second, Rebalance: time.Minute,
		})
		if err != nil {
			t.Fatal(err)
		}
		test(t, &mock{t, s, time.Now()})
	})
}

type mock struct {
	t     *testing.T
	s     *mockmetadata.Server
	began time.Time
}

// until sleeps until so long after the start.
func (m *mock) until(d time.Duration) { time.Sleep(d - time.Since(m.began)) }

// ask sends a request; headers are "Name: value".
func (m *mock) ask(method, path string, headers ...string) (status int, body string, header http.Header) {
	m.t.Helper()
	r := httptest.NewRequestWithContext(m.t.Context(), method, path, nil)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	m.s.ServeHTTP(w, r)
	return w.Code, w.Body.String(), w.Header()
}

const (
	tokenPath  = "/latest/api/token"
	actionPath = "/latest/meta-data/spot/instance-action"
	riskPath   = "/latest/meta-data/events/recommendations/rebalance"
	preempted  = "/computeMetadata/v1/instance/preempted"
	events     = "/metadata/scheduledevents?api-version=2020-07-01"
)

func (m *mock) token(node, ttl string) string {
	m.t.Helper()
	status, token, _ := m.ask(http.MethodPut, node+tokenPath, "X-aws-ec2-metadata-token-ttl-seconds: "+ttl)
	if status != http.StatusOK || token == "" {
		m.t.Fatalf("no token: status %d", status)
	}
	return "X-aws-ec2-metadata-token: " + token
}

// TestAWSOverTime: nothing, a recommendation, a notice with the time, and again
// nothing when the instance has come back.
func TestAWSOverTime(t *testing.T) {
	bubble(t, 10, func(t *testing.T, m *mock) {
		token, other := m.token("", "21600"), m.token("/node/b", "21600")
		for _, at := range []struct {
			wall         time.Duration
			action, risk bool
		}{
			{0, false, false}, {20*time.Second + 900*time.Millisecond, false, false}, {21 * time.Second, false, true},
			{26*time.Second + 900*time.Millisecond, false, true}, {27 * time.Second, true, true}, {40 * time.Second, true, true},
			{50 * time.Second, false, false}, {81 * time.Second, false, true}, {87 * time.Second, true, true}, {200 * time.Second, true, true},
		} {
			m.until(at.wall)
			status, body, _ := m.ask(http.MethodGet, actionPath, token)
			if at.action != (status == http.StatusOK) || !at.action && status != http.StatusNotFound {
				t.Errorf("after %s: instance-action answers %d %s", at.wall, status, body)
			}
			if at.action {
				goes := m.began.Add(30 * time.Second)
				if at.wall > 50*time.Second {
					goes = m.began.Add(90 * time.Second)
				}
				if want := fmt.Sprintf(`{"action":"terminate","time":%q}`, goes.UTC().Format(time.RFC3339)); body != want {
					t.Errorf("after %s: instance-action is %s, want %s", at.wall, body, want)
				}
			}
			status, body, _ = m.ask(http.MethodGet, riskPath, token)
			if at.risk != (status == http.StatusOK) || at.risk && !strings.HasPrefix(body, `{"noticeTime":"2000-`) {
				t.Errorf("after %s: rebalance answers %d %s", at.wall, status, body)
			}
			if status, _, _ := m.ask(http.MethodGet, "/node/b"+actionPath, other); status != http.StatusNotFound {
				t.Errorf("after %s: the instance that stays is told %d", at.wall, status)
			}
		}
	})
}

// TestAWSTokens: there is no metadata without a token of the instance that has
// not expired.
func TestAWSTokens(t *testing.T) {
	bubble(t, 1, func(t *testing.T, m *mock) {
		get := func(path string, headers ...string) int {
			status, _, _ := m.ask(http.MethodGet, path, headers...)
			return status
		}
		own, short, other := m.token("", "21600"), m.token("", "60"), m.token("/node/b", "21600")
		for what, got := range map[string]struct{ status, want int }{
			"no token":                   {get(actionPath), 401},
			"a made up token":            {get(actionPath, "X-aws-ec2-metadata-token: me"), 401},
			"another instance's token":   {get(actionPath, other), 401},
			"the token":                  {get(actionPath, own), 404},
			"the token, by node":         {get("/node/a"+actionPath, own), 404},
			"the short token":            {get(actionPath, short), 404},
			"a node that there is not":   {get("/node/z" + actionPath), 404},
			"a path that there is not":   {get("/latest/meta-data/ami-id", own), 404},
			"a token by GET":             {get(tokenPath), 405},
			"metadata by PUT":            {first(m.ask(http.MethodPut, actionPath, own)), 405},
			"a token without a life":     {first(m.ask(http.MethodPut, tokenPath)), 400},
			"a token for too long":       {first(m.ask(http.MethodPut, tokenPath, "X-aws-ec2-metadata-token-ttl-seconds: 21601")), 400},
			"a token for no time at all": {first(m.ask(http.MethodPut, tokenPath, "X-aws-ec2-metadata-token-ttl-seconds: 0")), 400},
			"a token through a proxy":    {first(m.ask(http.MethodPut, tokenPath, "X-aws-ec2-metadata-token-ttl-seconds: 60", "X-Forwarded-For: 10.0.0.1")), 403},
		} {
			if got.status != got.want {
				t.Errorf("%s: status %d, want %d", what, got.status, got.want)
			}
		}
		m.until(61 * time.Second)
		if a, b := get(actionPath, short), get(actionPath, own); a != 401 || b != 404 {
			t.Errorf("after a minute the short token gets %d, the long one %d", a, b)
		}
	})
}

func first(status int, _ string, _ http.Header) int { return status }

// TestGCPWaits: an answer at once without wait_for_change; with it when the value
// changes, or at the end of timeout_sec.
func TestGCPWaits(t *testing.T) {
	bubble(t, 10, func(t *testing.T, m *mock) {
		const flavor = "Metadata-Flavor: Google"
		if status, _, _ := m.ask(http.MethodGet, preempted); status != http.StatusForbidden {
			t.Errorf("without the header: status %d", status)
		}
		ask := func(query, want string, after time.Duration) (etag string) {
			t.Helper()
			status, body, header := m.ask(http.MethodGet, preempted+query, flavor)
			if took := time.Since(m.began); status != http.StatusOK || body != want || took != after || header.Get("Metadata-Flavor") != "Google" {
				t.Errorf("%s: status %d, %s after %s; want %s after %s", query, status, body, took, want, after)
			}
			return header.Get("ETag")
		}
		no := ask("", "FALSE", 0)
		ask("?wait_for_change=true&timeout_sec=5", "FALSE", 5*time.Second)
		ask("?wait_for_change=true&timeout_sec=5&last_etag="+no, "FALSE", 10*time.Second)
		ask("?wait_for_change=true&last_etag=0", "FALSE", 10*time.Second)
		yes := ask("?wait_for_change=true&last_etag="+no, "TRUE", 27*time.Second)
		if yes == no {
			t.Error("the etag is the same for both values")
		}
		ask("?wait_for_change=true&last_etag="+no, "TRUE", 27*time.Second)
		ask("?wait_for_change=true&last_etag="+yes, "FALSE", 50*time.Second) // it has come back
		ask("?wait_for_change=true", "TRUE", 87*time.Second)
		ask("?wait_for_change=true&timeout_sec=3&last_etag="+yes, "TRUE", 90*time.Second)
		if status, _, _ := m.ask(http.MethodGet, preempted+"?wait_for_change=true&timeout_sec=soon", flavor); status != http.StatusBadRequest {
			t.Errorf("a bad timeout: status %d", status)
		}
	})
	bubble(t, 10, func(t *testing.T, m *mock) {
		status, body, _ := m.ask(http.MethodGet, "/computeMetadata/v1/instance/maintenance-event?wait_for_change=true", "Metadata-Flavor: Google")
		if took := time.Since(m.began); status != http.StatusOK || body != "TERMINATE_ON_HOST_MAINTENANCE" || took != 21*time.Second {
			t.Errorf("maintenance-event: status %d, %s after %s", status, body, took)
		}
	})
}

// TestAzureOverTime: the event comes with its time, and goes at it.
func TestAzureOverTime(t *testing.T) {
	bubble(t, 10, func(t *testing.T, m *mock) {
		for what, got := range map[string]struct{ status, want int }{
			"no header":        {first(m.ask(http.MethodGet, events)), 400},
			"no version":       {first(m.ask(http.MethodGet, "/metadata/scheduledevents", "Metadata: true")), 400},
			"through a proxy":  {first(m.ask(http.MethodGet, events, "Metadata: true", "X-Forwarded-For: 10.0.0.1")), 400},
			"as Azure says it": {first(m.ask(http.MethodGet, events, "Metadata: true")), 200},
		} {
			if got.status != got.want {
				t.Errorf("%s: status %d, want %d", what, got.status, got.want)
			}
		}
		if _, name, _ := m.ask(http.MethodGet, "/node/b/metadata/instance/compute/name?api-version=2021-02-01&format=text", "Metadata: true"); name != "b" {
			t.Errorf("the machine is called %q", name)
		}
		ids := make(map[string]bool)
		incarnation := 0
		for _, at := range []struct {
			wall, goes  time.Duration // 0: it does not
			incarnation int
		}{{0, 0, 1}, {26 * time.Second, 0, 1}, {27 * time.Second, 30 * time.Second, 2}, {29 * time.Second, 30 * time.Second, 2}, {30 * time.Second, 0, 3}, {88 * time.Second, 90 * time.Second, 4}, {91 * time.Second, 0, 5}} {
			m.until(at.wall)
			_, body, _ := m.ask(http.MethodGet, events, "Metadata: true")
			var d struct {
				DocumentIncarnation int
				Events              []struct {
					EventID   string `json:"EventId"`
					EventType string
					Resources []string
					NotBefore string
				}
			}
			if err := json.Unmarshal([]byte(body), &d); err != nil {
				t.Fatalf("%v in %s", err, body)
			}
			if d.DocumentIncarnation != at.incarnation || d.DocumentIncarnation < incarnation {
				t.Errorf("after %s: incarnation %d, want %d", at.wall, d.DocumentIncarnation, at.incarnation)
			}
			incarnation = d.DocumentIncarnation
			if at.goes == 0 {
				if len(d.Events) != 0 || !strings.Contains(body, `"Events":[]`) {
					t.Errorf("after %s: %s", at.wall, body)
				}
				continue
			}
			if len(d.Events) != 1 {
				t.Errorf("after %s: %s", at.wall, body)
				continue
			}
			e := d.Events[0]
			ids[e.EventID] = true
			if want := m.began.Add(at.goes).UTC().Format(http.TimeFormat); e.NotBefore != want || e.EventType != "Preempt" || !slices.Equal(e.Resources, []string{"a"}) {
				t.Errorf("after %s: %+v, want a at %s", at.wall, e, want)
			}
		}
		if len(ids) != 2 {
			t.Errorf("%d ids of two preemptions: %v", len(ids), ids)
		}
	})
}

// TestOneDialectAndNoRoot: what is not asked for is not there.
func TestOneDialectAndNoRoot(t *testing.T) {
	pace, err := clock.New(time.Now(), 1)
	if err != nil {
		t.Fatal(err)
	}
	s, err := mockmetadata.New(mockmetadata.Options{Changes: trace, Dialects: []mockmetadata.Dialect{mockmetadata.Azure}, Clock: pace})
	if err != nil {
		t.Fatal(err)
	}
	m := &mock{t, s, time.Now()}
	for path, want := range map[string]int{"/node/a" + events: 200, events: 404, "/node/a" + preempted: 404, "/node/a" + actionPath: 404} {
		if status, _, _ := m.ask(http.MethodGet, path, "Metadata: true", "Metadata-Flavor: Google"); status != want {
			t.Errorf("%s: status %d, want %d", path, status, want)
		}
	}
	if got, want := s.Nodes(), []string{"a", "b"}; !slices.Equal(got, want) {
		t.Errorf("nodes %v, want %v", got, want)
	}
	if got, want := s.Describe(), []string{"a goes at 300.000s, told at 300.000s", "a goes at 900.000s, told at 900.000s"}; !slices.Equal(got, want) {
		t.Errorf("describes %q, want %q", got, want)
	}
}

func TestNewRefuses(t *testing.T) {
	for _, tt := range []struct {
		o    mockmetadata.Options
		want string
	}{
		{mockmetadata.Options{Changes: trace, Node: "z"}, `node "z" is not in the trace: allowed are a, b`},
		{mockmetadata.Options{Changes: trace, Dialects: []mockmetadata.Dialect{"ibm"}}, `dialect "ibm": allowed are [aws gcp azure]`},
	} {
		if _, err := mockmetadata.New(tt.o); err == nil || err.Error() != tt.want {
			t.Errorf("%v, want %s", err, tt.want)
		}
	}
}
