// Package natsserver runs a NATS server with JetStream inside this process.
package natsserver

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/gofrs/flock"
	"github.com/nats-io/nats-server/v2/server"
)

// Options are the settings of a server.
type Options struct {
	// StoreDir is the folder that keeps the streams, under jetstream/. It is
	// made if it is not there. One live process uses it at a time.
	StoreDir string
	// Listen is the host:port for other processes; port 0 picks a free one.
	// Empty: none can join, the server answers in this process only.
	Listen string
	// SyncInterval is how often stored messages are forced to the disk, and so
	// how much a power failure may cost; 0: every two minutes. The end of the
	// process alone loses nothing.
	SyncInterval time.Duration
	// SyncAlways forces every message to the disk before it is acknowledged.
	SyncAlways bool
	// MaxStore bounds the bytes of all streams; a message that does not fit is
	// refused. 0: three quarters of what is free on the disk at the start.
	MaxStore int64
	// Cluster, if set, makes the server one of several that keep the streams
	// together. It needs Listen.
	Cluster *Cluster
	// Security, if set, lets nobody in but its users, over TLS.
	Security *Security
	// Log gets the server's own log, at level debug. nil: slog.Default.
	Log *slog.Logger
}

// Cluster says where a server finds the others. JetStream works as long as more
// than half of them do, so there should be three.
type Cluster struct {
	// Name is the server's, another one for each.
	Name string
	// Listen is the host:port for the other servers.
	Listen string
	// Routes are the Listen of all servers; this one's may be among them.
	Routes []string
}

// Server is a running server.
type Server struct {
	server   *server.Server
	password string // of this process's user; empty where everybody gets in
	lock     *flock.Flock
	listen   bool
	once     sync.Once
	err      error // of Shutdown
}

// Start starts a server and waits until it takes connections.
func Start(o Options) (_ *Server, err error) {
	config, err := o.server()
	if err != nil {
		return nil, err
	}
	var password string
	if o.Security != nil {
		if password, err = o.Security.apply(config); err != nil {
			return nil, err
		}
	}
	lock, err := own(o.StoreDir)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, lock.Close())
		}
	}()
	if err := checkFree(o.Listen); err != nil {
		return nil, err
	}
	s, err := server.NewServer(config)
	if err != nil {
		return nil, fmt.Errorf("embedded NATS server: %w", err)
	}
	log := o.Log
	if log == nil {
		log = slog.Default()
	}
	logger := newLogger(log)
	s.SetLoggerV2(logger, false, false, false)
	s.Start() // returns when it has recovered the streams and listens
	if err := ready(s, logger); err != nil {
		s.Shutdown()
		s.WaitForShutdown()
		return nil, fmt.Errorf("embedded NATS server on %s: %w", o.StoreDir, err)
	}
	return &Server{server: s, password: password, lock: lock, listen: o.Listen != ""}, nil
}

// InProcessConn connects a client of this process. It makes Server a
// nats.InProcessConnProvider.
func (s *Server) InProcessConn() (net.Conn, error) { return s.server.InProcessConn() }

// Login is the user and the password of this process's own connections; both are
// empty where the server asks for none.
func (s *Server) Login() (user, password string) {
	if s.password == "" {
		return "", ""
	}
	return processUser, s.password
}

// URL is where other processes join; empty if they cannot.
func (s *Server) URL() string {
	if !s.listen {
		return ""
	}
	scheme := "nats://"
	if s.password != "" {
		scheme = "tls://"
	}
	return scheme + s.server.Addr().String()
}

// Shutdown ends the server and waits until its store is closed. Ending it again
// does nothing.
func (s *Server) Shutdown() error {
	s.once.Do(func() {
		s.server.Shutdown()
		s.server.WaitForShutdown()
		s.err = s.lock.Close()
	})
	return s.err
}

func (o Options) server() (*server.Options, error) {
	if o.StoreDir == "" {
		return nil, errors.New("embedded NATS server: want a folder for its store, have none")
	}
	if err := os.MkdirAll(o.StoreDir, 0o755); err != nil {
		return nil, fmt.Errorf("embedded NATS server: store: %w", err)
	}
	config := &server.Options{
		ServerName:   "spotserve",
		JetStream:    true,
		StoreDir:     o.StoreDir,
		SyncInterval: o.SyncInterval,
		SyncAlways:   o.SyncAlways,
		DontListen:   o.Listen == "",
		NoSigs:       true, // signals are the process's business

		JetStreamMaxStore: o.MaxStore,
	}
	var err error
	if o.Listen != "" {
		if config.Host, config.Port, err = address(o.Listen); err != nil {
			return nil, err
		}
	}
	if o.Cluster != nil {
		err = o.Cluster.join(config)
	}
	return config, err
}

func (c Cluster) join(config *server.Options) (err error) {
	if c.Name == "" || len(c.Routes) == 0 || config.DontListen {
		return fmt.Errorf("embedded NATS server: a cluster needs a name of this server, the routes to all, and an address for clients; have name %q, %d routes", c.Name, len(c.Routes))
	}
	config.ServerName, config.Cluster.Name = c.Name, "spotserve"
	if config.Cluster.Host, config.Cluster.Port, err = address(c.Listen); err != nil {
		return err
	}
	for _, at := range c.Routes {
		if _, _, err := address(at); err != nil {
			return err
		}
		config.Routes = append(config.Routes, &url.URL{Scheme: "nats", Host: at})
	}
	return nil
}

// address reads host:port as the server takes it, which has its own number for
// any port.
func address(listen string) (host string, port int, err error) {
	host, portText, err := net.SplitHostPort(listen)
	if err != nil {
		return "", 0, fmt.Errorf("listen on %q: %w: want host:port, 127.0.0.1:4222 for example", listen, err)
	}
	n, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("listen on %q: port %q: want a number from 0 to 65535", listen, portText)
	}
	if n == 0 {
		return host, server.RANDOM_PORT, nil
	}
	return host, int(n), nil
}

// checkFree says in advance what the server would only log.
func checkFree(listen string) error {
	if listen == "" {
		return nil
	}
	l, err := net.Listen("tcp", listen)
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("listen on %s: the port is taken; if a NATS server runs there, join it with --nats nats://%s, else choose another address: %w", listen, listen, err)
	}
	if err != nil {
		return fmt.Errorf("embedded NATS server: %w", err)
	}
	return l.Close()
}

// ready returns what kept a started server from taking connections.
func ready(s *server.Server, l *logger) error {
	select {
	case reason := <-l.fatal:
		return errors.New(reason)
	default:
	}
	if !s.ReadyForConnections(10 * time.Second) {
		return errors.New("not ready for connections")
	}
	return nil
}
