package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/spotserve/spotserve/catalog"
	"github.com/spotserve/spotserve/cmd/spotserve/internal/preview"
)

func (a *app) validate() *cobra.Command {
	return &cobra.Command{
		Use:   "validate <file>...",
		Short: "check experiment files without running them",
		Long: `Check experiment files without running them, and print what each comes to: its
runs, fleet, requests, the first configuration that the planner will choose, and
whether that keeps up with the load. All that is wrong is named, with its line.`,
		Example: "  spotserve validate examples/*.yaml",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("%s takes one argument or more, got 0: %s", cmd.CommandPath(), cmd.UseLine())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			good := []checked{}
			var errs []error
			for _, file := range args {
				c, err := check(cmd.Context(), file, cmd.InOrStdin())
				if err != nil {
					errs = append(errs, interruptedOr(cmd.Context(), err))
					continue
				}
				good = append(good, c)
			}
			return errors.Join(a.printChecked(good), errors.Join(errs...))
		},
	}
}

// checked is an experiment file that can be run.
type checked struct {
	File     string            `json:"file"`
	Name     string            `json:"name"`
	Sweep    []sweptKey        `json:"sweep"`
	Seeds    []uint64          `json:"seeds"`
	Previews []preview.Preview `json:"runs"` // in the order of the runs
}

// sweptKey is a setting that a sweep varies.
type sweptKey struct {
	Key    string   `json:"key"`
	Values []string `json:"values"`
}

// check reads an experiment file and looks at each of its runs.
func check(ctx context.Context, file string, stdin io.Reader) (checked, error) {
	custom, err := readCustom(file, stdin)
	if err != nil {
		return checked{}, err
	}
	runs := custom.Runs()
	c := checked{File: file, Name: custom.Name(), Sweep: sweptKeys(runs), Previews: make([]preview.Preview, len(runs))}
	group, within := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, run := range runs {
		if !slices.Contains(c.Seeds, run.Seed) {
			c.Seeds = append(c.Seeds, run.Seed)
		}
		group.Go(func() error {
			if err := within.Err(); err != nil {
				return err
			}
			spec, timeline, err := catalog.Resolve(run.Start)
			if err != nil {
				return err
			}
			c.Previews[i], err = preview.Of(spec, timeline)
			return err
		})
	}
	return c, group.Wait()
}

func sweptKeys(runs []catalog.CustomRun) []sweptKey {
	keys := []sweptKey{}
	for _, run := range runs {
		for _, s := range run.Sweep {
			i := slices.IndexFunc(keys, func(k sweptKey) bool { return k.Key == s.Key })
			if i < 0 {
				i = len(keys)
				keys = append(keys, sweptKey{Key: s.Key})
			}
			if !slices.Contains(keys[i].Values, s.Value) {
				keys[i].Values = append(keys[i].Values, s.Value)
			}
		}
	}
	return keys
}

func (a *app) printChecked(all []checked) error {
	if a.output == "json" {
		e := json.NewEncoder(a.stdout)
		e.SetIndent("", "  ")
		return e.Encode(all)
	}
	var b strings.Builder
	for _, c := range all {
		c.text(&b)
	}
	_, err := io.WriteString(a.stdout, b.String())
	return err
}

// text prints a line for what it is, and five for what it comes to.
func (c checked) text(b *strings.Builder) {
	line := func(what, format string, args ...any) {
		fmt.Fprintf(b, "  %-13s %s\n", what, fmt.Sprintf(format, args...))
	}
	all := c.Previews
	ints := func(of func(preview.Preview) int) preview.Range[int] { return preview.RangeOf(all, of) }
	floats := func(of func(preview.Preview) float64) preview.Range[float64] { return preview.RangeOf(all, of) }
	end := floats(func(p preview.Preview) float64 { return p.EndS })

	fmt.Fprintf(b, "%s: experiment %s is fine\n", c.File, c.Name)
	line("runs", "%d: %s", len(all), c.runs())

	capacity := ""
	if most := ints(func(p preview.Preview) int { return p.MaxInstances }); most.Max > 0 {
		capacity = fmt.Sprintf("at most %s instances are asked for; spot capacity: ", most)
	}
	line("fleet", "%s%s nodes of %s GPUs at 0 s, %d to %d until %s s", capacity,
		ints(func(p preview.Preview) int { return p.FirstNodes }), ints(func(p preview.Preview) int { return p.GPUsPerNode }),
		ints(func(p preview.Preview) int { return p.FewestNodes }).Min, ints(func(p preview.Preview) int { return p.MostNodes }).Max, end)
	line("requests", "%s until %s s, %s a second, of %s + %s tokens",
		ints(func(p preview.Preview) int { return p.Requests }), end, floats(func(p preview.Preview) float64 { return p.RateRPS }),
		ints(func(p preview.Preview) int { return p.PromptTokens }), ints(func(p preview.Preview) int { return p.OutputTokens }))
	line("first choice", "%s", firstChoice(all))
	line("load", "%s requests/s required, %s", floats(func(p preview.Preview) float64 { return p.RequiredRPS }), sustained(all))
}

// runs says what its runs differ in.
func (c checked) runs() string {
	var parts []string
	for _, k := range c.Sweep {
		parts = append(parts, k.Key+" "+strings.Join(k.Values, ", "))
	}
	return strings.Join(append(parts, seedList(c.Seeds)), " x ")
}

// seedList names seeds; those from 1 on by the last.
func seedList(seeds []uint64) string {
	names := make([]string, len(seeds))
	counted := len(seeds) > 1
	for i, seed := range seeds {
		names[i] = strconv.FormatUint(seed, 10)
		counted = counted && seed == uint64(i+1)
	}
	switch {
	case counted:
		return "seeds 1 to " + names[len(names)-1]
	case len(seeds) > 1:
		return "seeds " + strings.Join(names, ", ")
	default:
		return "seed " + names[0]
	}
}

// firstChoice names the first configurations, each once.
func firstChoice(all []preview.Preview) string {
	var choices []string
	for _, p := range all {
		choice := "none: nothing fits on the GPUs that there are"
		if p.Config != "" {
			choice = fmt.Sprintf("%s at %.4g s with batches of %d: %.4g s a batch, %.4g requests/s expected",
				p.Config, p.ConfigAtS, p.BatchLimit, p.LatencyS, p.ThroughputRPS)
		}
		if !slices.Contains(choices, choice) {
			choices = append(choices, choice)
		}
	}
	switch n := len(choices); n {
	case 1:
		return choices[0]
	case 2:
		return choices[0] + "; elsewhere another one"
	default:
		return fmt.Sprintf("%s; elsewhere %d others", choices[0], n-1)
	}
}

// sustained tells whether the first configurations keep up.
func sustained(all []preview.Preview) string {
	n := 0
	for _, p := range all {
		if p.Sustained() {
			n++
		}
	}
	switch {
	case n == len(all):
		return "sustained"
	case len(all) == 1:
		return "not sustained: the queue grows until the fleet does"
	default:
		return fmt.Sprintf("sustained at first in %d of %d runs", n, len(all))
	}
}
