// Package mockmetadata plays an availability trace as the metadata services of
// EC2, Compute Engine and Azure would tell it inside the instances, so that
// workers can be tried with the notices of a cloud on any host.
//
// Under /node/NAME/ it is the metadata service of the instance NAME; the root
// is that of one instance, if there is one.
package mockmetadata

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spotserve/spotserve/catalog"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/topology"
	"github.com/spotserve/spotserve/core/vtime"
	"github.com/spotserve/spotserve/platform/clock"
)

// Dialect is how one cloud's metadata service speaks.
type Dialect string

// The dialects.
const (
	AWS   Dialect = "aws"
	GCP   Dialect = "gcp"
	Azure Dialect = "azure"
)

// Dialects lists all of them.
func Dialects() []Dialect { return []Dialect{AWS, GCP, Azure} }

// Options say what to play.
type Options struct {
	Changes  []catalog.FleetChange // of the trace
	Node     string                // that the root speaks of; empty: of none
	Dialects []Dialect             // that are spoken
	// Clock gives the trace's time.
	Clock clock.Clock
	// Grace is how long before it goes an instance is told so, and Rebalance how
	// long before that a rebalance is recommended (0: not at all); trace time.
	Grace, Rebalance time.Duration
}

// Server is the mock. It is an http.Handler.
type Server struct {
	Options
	mux   *http.ServeMux
	stays map[string][]stay // by node
	mu    sync.Mutex
	token map[string]token // of EC2, by its text
}

// stay is a stretch of a node's life, from joining to going.
type stay struct{ from, to vtime.Time }

// New returns a mock for every node of the trace.
func New(o Options) (*Server, error) {
	s := &Server{Options: o, mux: http.NewServeMux(), stays: stays(o.Changes), token: make(map[string]token)}
	if o.Node != "" && s.stays[o.Node] == nil {
		return nil, fmt.Errorf("node %q is not in the trace: allowed are %s", o.Node, strings.Join(s.Nodes(), ", "))
	}
	for _, d := range o.Dialects {
		switch d {
		case AWS:
			s.handle("PUT", awsToken, s.issueToken)
			s.handle("GET", awsAction, s.withToken(s.action))
			s.handle("GET", awsRebalance, s.withToken(s.rebalance))
		case GCP:
			s.handle("GET", gcpPreempted, s.value(s.preempted))
			s.handle("GET", gcpMaintenance, s.value(s.maintenance))
		case Azure:
			s.handle("GET", azureName, s.scheduled(s.name))
			s.handle("GET", azureEvents, s.scheduled(s.events))
		default:
			return nil, fmt.Errorf("dialect %q: allowed are %v", d, Dialects())
		}
	}
	return s, nil
}

// Nodes lists the nodes of the trace.
func (s *Server) Nodes() []string { return catalog.Availability{Changes: s.Changes}.Nodes() }

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// handle serves a path of every node's metadata service, and of the one at the
// root.
func (s *Server) handle(method, path string, serve func(node string, w http.ResponseWriter, r *http.Request)) {
	s.mux.HandleFunc(method+" /node/{node}"+path, func(w http.ResponseWriter, r *http.Request) {
		node := r.PathValue("node")
		if s.stays[node] == nil {
			http.Error(w, fmt.Sprintf("node %q is not in the trace: allowed are %s", node, strings.Join(s.Nodes(), ", ")), http.StatusNotFound)
			return
		}
		serve(node, w, r)
	})
	if s.Node != "" {
		s.mux.HandleFunc(method+" "+path, func(w http.ResponseWriter, r *http.Request) { serve(s.Node, w, r) })
	}
}

// stays cuts a trace by nodes.
func stays(changes []catalog.FleetChange) map[string][]stay {
	out := make(map[string][]stay)
	for _, c := range changes {
		for _, node := range c.Nodes {
			switch c.Kind {
			case experiment.Add:
				out[node] = append(out[node], stay{c.At, vtime.Never})
			case experiment.Remove:
				if n := len(out[node]); n > 0 {
					out[node][n-1].to = c.At
				}
			case experiment.Throughput:
			}
		}
	}
	return out
}

// view is what an instance knows of its end.
type view struct {
	goes    vtime.Time // vtime.Never if it does not know of any
	atRisk  bool
	risk    vtime.Time // since when it is at risk
	changes vtime.Time // when this view is over; vtime.Never if it stays
}

// look is what the metadata service of a node knows at an instant. Until the
// node comes back, a service tells what it told last: whoever still asks it has
// outlived the instance.
func (s *Server) look(node string, at vtime.Time) view {
	v := view{goes: vtime.Never, changes: vtime.Never}
	for _, life := range s.stays[node] {
		if at < life.from {
			v.changes = min(v.changes, life.from)
			return v
		}
		v = view{goes: vtime.Never, changes: vtime.Never}
		if life.to == vtime.Never {
			continue
		}
		told := life.to.Add(-s.Grace)
		risk := told.Add(-s.Rebalance)
		switch {
		case at < risk:
			v.changes = risk
		case at < told:
			v.atRisk, v.risk, v.changes = s.Rebalance > 0, risk, told
		default:
			v = view{goes: life.to, atRisk: s.Rebalance > 0, risk: risk, changes: vtime.Never}
		}
	}
	return v
}

// now is what the metadata service of a node knows now.
func (s *Server) now(node string) view { return s.look(node, s.Clock.Now()) }

// Describe lists what will happen when, for the user to see.
func (s *Server) Describe() (lines []string) {
	type end struct {
		at   vtime.Time
		node string
	}
	var ends []end
	for node, lives := range s.stays {
		for _, life := range lives {
			if life.to != vtime.Never {
				ends = append(ends, end{life.to, node})
			}
		}
	}
	slices.SortFunc(ends, func(a, b end) int {
		if a.at != b.at {
			return int(a.at - b.at)
		}
		return topology.CompareNodes(a.node, b.node)
	})
	for _, e := range ends {
		lines = append(lines, fmt.Sprintf("%s goes at %s, told at %s", e.node, e.at, max(0, e.at.Add(-s.Grace))))
	}
	return lines
}
