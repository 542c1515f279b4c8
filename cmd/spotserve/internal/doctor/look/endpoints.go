package look

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spotserve/spotserve/cmd/spotserve/internal/doctor"
)

// mostAnswer bounds what is read of an answer over HTTP.
const mostAnswer = 16 << 20

// get reads an answer over HTTP.
func get(ctx context.Context, at string) (status int, body []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return 0, nil, err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = response.Body.Close() }() // it was read
	body, err = io.ReadAll(io.LimitReader(response.Body, mostAnswer))
	return response.StatusCode, body, err
}

// base is a URL whose scheme and path may be left out; shown is it without its
// password.
func base(text string) (at, shown string, err error) {
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	at = strings.TrimSuffix(strings.TrimSuffix(text, "/"), "/metrics")
	if _, err := url.Parse(at); err != nil {
		return "", redacted(at), errURL
	}
	return at, redacted(at), nil
}

// endpoint asks a service whether it is ready, and for its metrics.
func (l *looker) endpoint(ctx context.Context, at string) doctor.Endpoint {
	at, shown, err := base(at)
	e := doctor.Endpoint{URL: shown, Err: err}
	if err != nil {
		return e
	}
	status, body, err := get(ctx, at+"/readyz")
	if err != nil {
		e.Err = err
		return e
	}
	var answer struct {
		Ready bool `json:"ready"`
		Unmet []struct {
			Name   string `json:"name"`
			Reason string `json:"reason"`
		} `json:"unmet"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		e.Err = fmt.Errorf("%s/readyz answers with status %d, and not as a service of SpotServe does", e.URL, status)
		return e
	}
	e.Ready = answer.Ready
	for _, u := range answer.Unmet {
		e.Unmet = append(e.Unmet, strings.TrimSuffix(u.Name+": "+u.Reason, ": "))
	}
	status, body, err = get(ctx, at+"/metrics")
	switch {
	case err != nil:
		e.MetricsErr = err
	case status != http.StatusOK:
		e.MetricsErr = fmt.Errorf("status %d", status)
	case !strings.Contains(string(body), "\nspotserve_"):
		e.MetricsErr = errors.New("none of them is of SpotServe")
	}
	return e
}

// monitor asks a NATS server about itself.
func (l *looker) monitor(ctx context.Context, at string) doctor.Monitor {
	at, shown, err := base(at)
	m := doctor.Monitor{URL: shown, Err: err}
	if err != nil {
		return m
	}
	var storage struct {
		Disabled bool  `json:"disabled"`
		Used     int64 `json:"storage"`
		Config   *struct {
			MaxStore     int64         `json:"max_storage"`
			SyncInterval time.Duration `json:"sync_interval"`
			SyncAlways   bool          `json:"sync_always"`
		} `json:"config"`
	}
	var server struct {
		Name string `json:"server_name"`
		Slow int64  `json:"slow_consumers"`
	}
	for path, into := range map[string]any{"/jsz": &storage, "/varz": &server} {
		status, body, err := get(ctx, at+path)
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("%s answers with status %d", path, status)
		}
		if err == nil {
			err = json.Unmarshal(body, into)
		}
		if err != nil {
			m.Err = err
			return m
		}
	}
	if storage.Config == nil {
		m.Err = errors.New("JetStream is off there")
		return m
	}
	m.Server, m.SlowClients = server.Name, server.Slow
	m.StoreUsed, m.StoreMax = storage.Used, storage.Config.MaxStore
	m.SyncInterval, m.SyncAlways = storage.Config.SyncInterval, storage.Config.SyncAlways
	return m
}
