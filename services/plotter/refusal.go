package plotter

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/platform/store"
)

// refuseChoice lists groups of runs that are not drawn together.
func (s sheet) refuseChoice(how, choose string, groups []group) error {
	var b strings.Builder
	fmt.Fprintf(&b, "plot %s: the finished runs %s, so they are not drawn together; choose with %s:", s.name, how, choose)
	for _, g := range groups {
		fmt.Fprintf(&b, "\n  %s: ", g.name)
		for i, run := range g.runs {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(describe(run))
		}
	}
	return &RefusedError{Reason: b.String()}
}

// refuseNothing says what there is instead and how to make what was asked for.
func (s sheet) refuseNothing(ctx context.Context, r store.Reader, q Query) error {
	command := s.command(q)
	asked := fmt.Sprintf("no finished %s run", s.kindNames())
	if q.Model != "" {
		asked += " of model " + q.Model
	}
	if q.Trace != "" && !s.traces {
		asked += " on trace " + q.Trace
	}
	if q.Arrivals != "" {
		asked += " with arrivals " + q.Arrivals
		command += " --arrivals " + q.Arrivals
	}
	if q.Quirks != "" {
		asked += " with quirks " + q.Quirks
		command += " --quirks " + q.Quirks
	}
	if q.Seed != 0 && s.oneSeed {
		asked += " with seed " + seedName(q.Seed)
		command += " --seed " + seedName(q.Seed)
	}
	if len(q.Runs) > 0 {
		asked += " among " + strings.Join(q.Runs[:min(len(q.Runs), mostListed)], ", ")
	}
	return s.refuseWithRuns(ctx, r, fmt.Sprintf("plot %s: the store has %s; make one with: %s", s.name, asked, command))
}

// mostListed bounds the runs that a refusal lists.
const mostListed = 10

// refuseWithRuns adds the newest runs of the figure's kinds to a reason.
func (s sheet) refuseWithRuns(ctx context.Context, r store.Reader, reason string) error {
	runs, err := store.ListRuns(ctx, r)
	if err != nil {
		return fmt.Errorf("plot %s: %w", s.name, err)
	}
	runs = slices.DeleteFunc(runs, func(run store.Run) bool { return !slices.Contains(s.kinds, experiment.Kind(run.Kind)) })
	if len(runs) == 0 {
		return &RefusedError{Reason: reason + fmt.Sprintf("\nit has no %s runs at all", s.kindNames()), NoRuns: true}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\nits %s runs, the newest first:", reason, s.kindNames())
	slices.Reverse(runs)
	for _, run := range runs[:min(len(runs), mostListed)] {
		fmt.Fprintf(&b, "\n  %s: %s on %s, arrivals %s, quirks %s, %s", describe(run), run.Model, run.Trace, run.Arrivals, run.Quirks, run.Status)
	}
	if more := len(runs) - mostListed; more > 0 {
		fmt.Fprintf(&b, "\n  and %d more", more)
	}
	return &RefusedError{Reason: b.String(), NoRuns: true}
}

func (s sheet) kindNames() string {
	names := make([]string, len(s.kinds))
	for i, k := range s.kinds {
		names[i] = string(k)
	}
	return strings.Join(names, " or ")
}

func describe(run store.Run) string {
	what := run.Approach
	if run.Kind == string(experiment.Ablation) {
		what = fmt.Sprintf("level %d", run.Level)
	}
	return fmt.Sprintf("%s (%s, seed %d)", run.Run, what, run.Seed)
}

// seedName is empty for no seed.
func seedName(seed uint64) string {
	if seed == 0 {
		return ""
	}
	return strconv.FormatUint(seed, 10)
}
