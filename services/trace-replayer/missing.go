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

// missing calls the roll and says which services a run over nodes lacks; nil
// if none. A collector may come later: facts wait for it in the stream.
func (s *service) missing(ctx context.Context, nodes []string) (missing, err error) {
	present, err := rollcall.Call(ctx, s.Bus, s.RollCall, func(p []event.ServicePresent) bool {
		return lacks(p, nodes) == nil
	})
	if err != nil {
		return nil, err
	}
	if _, err := commonVersion(present); err != nil {
		return err, nil
	}
	return lacks(present, nodes), nil
}

// settle is how long, in wall time, who stands by may take to answer a roll call
// beside those without whom a run does not begin.
const settle = 400 * time.Millisecond

// schema calls the roll and returns the schema version of a run over nodes that
// begins now: the lowest of all who answer. wrong says who plays no part in it.
func (s *service) schema(ctx context.Context, nodes []string) (version int, wrong, err error) {
	began := time.Now()
	present, err := rollcall.Call(ctx, s.Bus, s.RollCall, func(p []event.ServicePresent) bool {
		return time.Since(began) >= settle && lacks(p, nodes) == nil
	})
	if err != nil {
		return 0, nil, err
	}
	version, wrong = commonVersion(present)
	return version, wrong, nil
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
