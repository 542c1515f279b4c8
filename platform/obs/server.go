package obs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Wall times of the server.
const (
	headerTimeout   = 5 * time.Second
	answerTimeout   = 30 * time.Second // for a reader that is slow
	idleTimeout     = 2 * time.Minute
	shutdownTimeout = 3 * time.Second // for the requests under way
)

// Server answers over HTTP:
//
//	/metrics  the registry, in the formats of Prometheus
//	/healthz  200 while the process is alive
//	/readyz   200 when it is ready, else 503; the body lists what is unmet
//
// It is an actor for a run group: g.Add(server.Serve, server.Interrupt).
type Server struct {
	listener net.Listener // nil: the server is off
	http     *http.Server
	done     chan struct{}
	stop     sync.Once
}

// Listen takes the address, so that a wrong one is told before anything
// starts. An empty address makes a server that is off: its Serve only waits to
// be interrupted.
func Listen(addr string, metrics prometheus.Gatherer, ready *Readiness, log *slog.Logger) (*Server, error) {
	s := &Server{done: make(chan struct{})}
	if addr == "" {
		return s, nil
	}
	var err error
	s.listener, err = net.Listen("tcp", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("--metrics-listen %s: another process listens there already; take another port, or port 0 for any free one: %w", addr, err)
	case err != nil:
		return nil, fmt.Errorf("--metrics-listen %s: want host:port of this host: %w", addr, err)
	}
	s.http = &http.Server{
		Handler:           handler(metrics, ready),
		ReadHeaderTimeout: headerTimeout,
		WriteTimeout:      answerTimeout,
		IdleTimeout:       idleTimeout,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	log.Info("serving metrics and health", "url", "http://"+s.Addr())
	return s, nil
}

// Addr is the host:port that the server listens on; empty if it is off.
func (s *Server) Addr() string {
	if s.listener == nil {
		return ""
	}
	return s.listener.Addr().String()
}

// Serve answers until Interrupt, and then returns nil.
func (s *Server) Serve() error {
	if s.listener == nil {
		<-s.done
		return nil
	}
	if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve metrics on %s: %w", s.Addr(), err)
	}
	<-s.done
	return nil
}

// Interrupt frees the address and lets the requests under way finish, for a
// few seconds. It may be called before Serve, and more than once.
func (s *Server) Interrupt(error) {
	s.stop.Do(func() {
		defer close(s.done)
		if s.listener == nil {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
		defer cancel()
		if err := s.http.Shutdown(ctx); err != nil {
			_ = s.http.Close() // cuts off who did not finish in time
		}
		_ = s.listener.Close() // a server that never served has not closed it
	})
}

func handler(metrics prometheus.Gatherer, ready *Readiness) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintln(w, "alive")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		unmet := ready.Unmet()
		w.Header().Set("Content-Type", "application/json")
		if len(unmet) > 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_ = json.NewEncoder(w).Encode(struct {
			Ready bool    `json:"ready"`
			Unmet []Unmet `json:"unmet"`
		}{len(unmet) == 0, unmet})
	})
	return mux
}
