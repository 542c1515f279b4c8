package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/spotserve/spotserve/platform/notice"
)

type hook struct {
	Options
	listener net.Listener
}

// Hook listens on a loopback address, host:port, and takes a notice from every
// POST /notice. It listens at once, so that an address that is taken is known
// before the worker starts.
func Hook(ctx context.Context, address string, o Options) (notice.Source, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("address %q: want host:port: %w", address, err)
	}
	// Whoever reaches the hook can end a node.
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("address %q is not a loopback address, 127.0.0.1:8170 for example", address)
	}
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &hook{Options: o, listener: l}, nil
}

// String implements notice.Source.
func (h *hook) String() string { return "http:" + h.listener.Addr().String() }

// Watch implements notice.Source.
func (h *hook) Watch(ctx context.Context, emit func(notice.Notice)) error {
	h.Log.Info("notices are taken over HTTP", "url", "http://"+h.listener.Addr().String()+"/notice")
	mux := http.NewServeMux()
	mux.HandleFunc("POST /notice", func(w http.ResponseWriter, r *http.Request) { h.take(w, r, emit) })
	s := &http.Server{
		Handler: mux, ReadTimeout: 5 * time.Second, WriteTimeout: 5 * time.Second, MaxHeaderBytes: 8 << 10,
	}
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()
	if err := s.Serve(h.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("notices over HTTP: %w", err)
	}
	return nil
}

// take answers 204 for a notice, 400 with a reason for what is none.
func (h *hook) take(w http.ResponseWriter, r *http.Request, emit func(notice.Notice)) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, sizeLimit))
	if tooLong, ok := errors.AsType[*http.MaxBytesError](err); ok {
		http.Error(w, tooLong.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	var n notice.Notice
	if err == nil {
		n, err = h.parse(body, time.Now())
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	emit(n)
	w.WriteHeader(http.StatusNoContent)
}
