package node

import (
	"bytes"
	"fmt"
	"log/slog"
	"testing"

	"github.com/spotserve/spotserve/engine/dataplane"
	"github.com/spotserve/spotserve/engine/dataplane/planetest"
)

// Nodes under TLS compute the same answers, through reconfigurations and in tensor
// parallel; one with somebody else's certificate is let in nowhere.
func TestNodesUnderTLS(t *testing.T) {
	s := newSite(t, tiny())
	ca := planetest.NewAuthority(t)
	var log bytes.Buffer
	refusals := dataplane.NewRefusals(slog.New(slog.NewTextHandler(&log, nil)))
	start := func(node, certificate string) {
		s.start(node, func(o *Options) {
			o.Links.Security, o.Links.Refusals = ca.Security(certificate), refusals
		})
	}
	for i := range 4 {
		name := fmt.Sprintf("node-%d", i)
		start(name, name)
	}
	all := s.ask(3)
	s.reshape(shape(1, 2, 2), devices(0, 1, 4))
	s.decode(3)
	s.reshape(shape(2, 1, 2), devices(0, 1, 4))
	s.decode(30)
	s.mustBeRight(all)
	if n := s.nodes["node-0"].Stats().Connections; n == 0 {
		t.Error("no connections are counted")
	}
	if n := len(refusals.Counts()); n != 0 {
		t.Fatalf("among good nodes there were refusals: %v\n%s", refusals.Counts(), &log)
	}
	start("node-9", "other")
	c, err := dataplane.NewClient(dataplane.Options{
		Node: "node-0", Resolve: s.resolve, Security: ca.Security("node-0"), Refusals: refusals, Attempts: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	item := dataplane.Item{Kind: dataplane.Weights}
	if err := c.Fetch(t.Context(), "node-9", "test-1", item, make([]byte, 8)); err == nil {
		t.Error("another node's certificate was taken")
	}
	if n := refusals.Counts()[dataplane.WrongNode]; n != 1 {
		t.Errorf("refusals are %v", refusals.Counts())
	}
}
