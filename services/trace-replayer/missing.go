package tracereplayer

import (
	"context"
	"fmt"
	"slices"
	"strings"

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
	return lacks(present, nodes), nil
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
