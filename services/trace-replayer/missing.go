package tracereplayer

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/platform/rollcall"
)

// settle is how long, in wall time, who stands by may take to answer a roll call
// beside those without whom no run can be.
const settle = 400 * time.Millisecond

// present calls the roll for a run over nodes. It returns the schema version that
// all who answer know, or what the run lacks: a service, or one that is recent
// enough. A collector may come later: facts wait for it in the stream.
func (s *service) present(ctx context.Context, nodes []string) (schema int, lack, err error) {
	began := time.Now()
	present, err := rollcall.Call(ctx, s.Bus, s.RollCall, func(p []event.ServicePresent) bool {
		return time.Since(began) >= settle && lacks(p, nodes) == nil
	})
	if err != nil {
		return 0, nil, err
	}
	schema, lack = commonVersion(present)
	if lack == nil {
		lack = lacks(present, nodes)
	}
	return schema, lack, nil
}

// commonVersion is the highest schema version that all of present know.
func commonVersion(present []event.ServicePresent) (int, error) {
	version := event.SchemaVersion
	for _, p := range present {
		if p.Schema < event.SchemaVersion-1 || p.Schema > event.SchemaVersion+1 {
			return 0, fmt.Errorf("a %s %s of schema version %d (build %q) answers, and this trace-replayer is of version %d: services may be one version apart, so update the older one",
				p.Service, strings.Join(p.Nodes, ", "), p.Schema, p.Build, event.SchemaVersion)
		}
		version = min(version, p.Schema)
	}
	return version, nil
}

// lacks says what present lacks for a run over nodes.
func lacks(present []event.ServicePresent, nodes []string) error {
	var planner bool
	var unstaffed []string
	for _, p := range present {
		planner = planner || p.Service == "planner"
	}
	for _, n := range nodes {
		if !slices.ContainsFunc(present, func(p event.ServicePresent) bool {
			return p.Service == "worker" && (slices.Contains(p.Nodes, n) || slices.Contains(p.Nodes, "*"))
		}) {
			unstaffed = append(unstaffed, n)
		}
	}
	switch {
	case !planner:
		return fmt.Errorf("no planner answers: start one on this bus (planner --nats URL) and send the start again")
	case len(unstaffed) > 0:
		return fmt.Errorf("no worker stands for %s: start one a node (worker --node NAME --nats URL) or one for all (worker --node '*'), and send the start again",
			strings.Join(unstaffed, ", "))
	}
	return nil
}
