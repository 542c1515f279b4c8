package figure

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// Compare shows runs side by side: how their latencies are distributed, and
// what a token costs.
type Compare struct {
	Text
	SLO    float64 // seconds, marked by a line; 0: none
	Series []CompareSeries
}

// CompareSeries is a run, or the seeds of one experiment.
type CompareSeries struct {
	Label string
	Look  int
	Seeds []Distribution // one a seed
}

// Distribution is what one run measured.
type Distribution struct {
	Latencies   []float64 // of the answered requests, in seconds, ascending
	Accepted    int       // requests; as many as were answered, or more
	USDPerToken float64
}

func (c Compare) check() error {
	if len(c.Series) == 0 {
		return errNoSeries
	}
	if err := checkNumber("SLO", "seconds", c.SLO); err != nil {
		return err
	}
	for _, s := range c.Series {
		if len(s.Seeds) == 0 {
			return fmt.Errorf("series %q has no seed", s.Label)
		}
		for _, d := range s.Seeds {
			if err := d.check(); err != nil {
				return fmt.Errorf("series %q: %w", s.Label, err)
			}
		}
	}
	return nil
}

func (d Distribution) check() error {
	if len(d.Latencies) == 0 {
		return errors.New("no latency")
	}
	if d.Accepted < len(d.Latencies) {
		return fmt.Errorf("%d requests were answered and %d accepted", len(d.Latencies), d.Accepted)
	}
	for _, v := range d.Latencies {
		if err := checkNumber("latency", "seconds", v); err != nil {
			return err
		}
	}
	if !slices.IsSorted(d.Latencies) {
		return errors.New("the latencies do not ascend")
	}
	return checkNumber("cost", "USD a token", d.USDPerToken)
}

// within returns the time in which a part of the accepted requests is answered,
// in seconds: never, if they are not.
func (d Distribution) within(part float64) float64 {
	i := max(int(math.Ceil(part*float64(d.Accepted)))-1, 0)
	if i >= len(d.Latencies) {
		return math.Inf(1)
	}
	return max(d.Latencies[i], smallestLatency)
}
