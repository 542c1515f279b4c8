package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

const (
	readyTimeout  = 5 * time.Second
	mostReadyBody = 4 << 10 // bytes of an answer that are shown
)

// askReady asks the service that serves health on listen, as --metrics-listen
// names it, whether it is ready. The error has the conditions that do not hold.
// It is for health checks in images that have nothing but the service.
func askReady(ctx context.Context, listen string) error {
	host, port, err := net.SplitHostPort(listen)
	if err != nil || port == "0" {
		return fmt.Errorf("--check-ready: --metrics-listen is %q: want the host:port of the service that is asked", listen)
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "127.0.0.1" // it listens there too
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/readyz", nil)
	if err != nil {
		return fmt.Errorf("--check-ready: %w", err)
	}
	transport := &http.Transport{DisableKeepAlives: true} // no proxy of the environment
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("--check-ready: no answer on %s: %w", listen, err)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, mostReadyBody))
	err = errors.Join(err, resp.Body.Close())
	if resp.StatusCode == http.StatusOK {
		return err
	}
	return errors.Join(fmt.Errorf("--check-ready: not ready: %s", strings.Join(strings.Fields(string(body)), " ")), err)
}
