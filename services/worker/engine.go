package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"time"

	"github.com/spotserve/spotserve/core/engineop"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/engine/checkpoint"
	"github.com/spotserve/spotserve/engine/dataplane"
	"github.com/spotserve/spotserve/engine/kernel"
	"github.com/spotserve/spotserve/engine/model"
	"github.com/spotserve/spotserve/engine/node"
	"github.com/spotserve/spotserve/engine/tokenizer"
	"github.com/spotserve/spotserve/platform/actor"
	"github.com/spotserve/spotserve/platform/credential"
	"github.com/spotserve/spotserve/services/worker/internal/book"
)

// EngineOptions are of runs that compute tokens. The zero value listens on the
// loopback interface and computes on all cores without a bound on memory.
type EngineOptions struct {
	// Listen is where other nodes fetch context and hand steps on, host:port; a
	// worker with several nodes needs port 0. "": 127.0.0.1:0.
	Listen string
	// Advertise is the host, or host:port, under which they reach it; "": Listen.
	Advertise string
	// Memory bounds the weights and KV cache of each node, in bytes; 0: no bound.
	Memory  int64
	Kernels kernel.Options
	// Models is the folder of models whose location is a relative path.
	Models string
	// Credentials secure the data plane, if they name an authority.
	Credentials credential.Files
}

// check says what is wrong with the options of a worker for so many nodes.
func (o EngineOptions) check(nodes []string) error {
	host, port, err := net.SplitHostPort(o.listen())
	if err != nil {
		return fmt.Errorf("worker: data plane listens at %q: %w; allowed is host:port", o.Listen, err)
	}
	if several := len(nodes) > 1 || len(nodes) == 1 && nodes[0] == AllNodes; several && port != "0" {
		return fmt.Errorf("worker: data plane listens at %q: each node has a port of its own, so a worker with several needs port 0", o.Listen)
	}
	if ip := net.ParseIP(host); o.Advertise == "" && (host == "" || ip != nil && ip.IsUnspecified()) {
		return fmt.Errorf("worker: data plane listens at %q, on all interfaces: the address that other nodes reach has to be named", o.Listen)
	}
	if o.Memory < 0 {
		return fmt.Errorf("worker: memory of %d bytes: must be positive, or 0 for no bound", o.Memory)
	}
	return nil
}

func (o EngineOptions) listen() string {
	if o.Listen == "" {
		return "127.0.0.1:0"
	}
	return o.Listen
}

// advertised is how other nodes reach a data plane that listens at addr.
func (o EngineOptions) advertised(addr string) (string, error) {
	if o.Advertise == "" {
		return addr, nil
	}
	if _, _, err := net.SplitHostPort(o.Advertise); err == nil {
		return o.Advertise, nil
	}
	_, port, err := net.SplitHostPort(addr)
	return net.JoinHostPort(strings.Trim(o.Advertise, "[]"), port), err
}

// engine is what a node computes with in one incarnation: it begins with nothing.
type engine struct {
	*node.Node
	source    model.Source
	tokenizer engineop.Tokenizer // nil: the model has none
	gone      func()
}

// openEngine starts the engine of a node and enters it in the address book.
func (s *service) openEngine(ctx context.Context, r actor.Started, name string, log *slog.Logger) (*engine, error) {
	source, texts, err := s.openModel(r.Start.Spec)
	if err != nil {
		return nil, err
	}
	security, err := s.Engine.security(name)
	if err != nil {
		return nil, errors.Join(err, source.Close())
	}
	addresses := book.New(s.Bus)
	n, err := listening(ctx, node.Options{
		Name: name, Run: r.Run, Model: source, Memory: s.Engine.Memory, Listen: s.Engine.listen(),
		Kernels: s.Engine.Kernels, Resolve: addresses.Get, Log: log,
		Links: dataplane.Options{Security: security, Refusals: s.refusals},
	})
	if err != nil {
		return nil, errors.Join(err, source.Close())
	}
	e := &engine{Node: n, source: source, tokenizer: texts, gone: s.engines.add(n)}
	address, err := s.Engine.advertised(n.Address())
	if err == nil {
		err = addresses.Put(ctx, name, address)
	}
	if err != nil {
		return nil, errors.Join(err, e.close())
	}
	log.Info("data plane serves", "address", address, "tls", security != nil)
	return e, nil
}

// listening opens a node. The one of an earlier incarnation may take a moment to
// let go of the address.
func listening(ctx context.Context, o node.Options) (*node.Node, error) {
	for attempt := 1; ; attempt++ {
		n, err := node.Open(o)
		var busy *net.OpError
		if err == nil || !errors.As(err, &busy) || attempt == 5 {
			return n, err
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// openModel opens the weights of a run, and the tokenizer where they come with one.
func (s *service) openModel(spec experiment.Spec) (model.Source, engineop.Tokenizer, error) {
	t := spec.Transformer
	if t == nil {
		return nil, nil, errors.New("the run says nothing about its transformer")
	}
	shape, err := checkpoint.Config(spec.Model.Name, t.Shape)
	if err != nil {
		return nil, nil, err
	}
	location := t.Weights
	isPath := !strings.HasPrefix(location, checkpoint.Synthetic) && !strings.Contains(location, "://")
	if s.Engine.Models != "" && isPath && !filepath.IsAbs(location) {
		location = filepath.Join(s.Engine.Models, location)
	}
	source, err := checkpoint.Open(location, checkpoint.Options{Shape: shape})
	if err != nil || !isPath {
		return source, nil, err
	}
	texts, err := tokenizer.Open(location)
	switch {
	case errors.Is(err, tokenizer.ErrNone):
		return source, nil, nil
	case err != nil:
		return nil, nil, errors.Join(err, source.Close())
	}
	return source, tokenizer.Prompts{Tokenizer: texts}, nil
}

func (e *engine) close() error {
	err := e.Node.Close()
	e.gone()
	return errors.Join(err, e.source.Close())
}
