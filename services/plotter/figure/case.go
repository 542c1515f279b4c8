package figure

import "fmt"

// Case is a case panel of Figure 8: the latency of every request by when it
// arrived, with the configurations that served them. Above stands the rate of
// the arrivals.
type Case struct {
	Text
	Arrivals []float64 // of all requests, in seconds; without any, no rate is shown
	Series   []CaseSeries
}

// CaseSeries is one run.
type CaseSeries struct {
	Label    string
	Look     int // as in TailSeries
	Requests []Request
	Configs  []Config // by time
}

// Request is a request that was answered, in seconds.
type Request struct{ Arrived, Latency float64 }

// Config is a configuration from its time on, in seconds.
type Config struct {
	At   float64
	Name string // DxPxM
}

func (c Case) check() error {
	if len(c.Series) == 0 {
		return errNoSeries
	}
	for _, at := range c.Arrivals {
		if err := checkNumber("arrival", "seconds", at); err != nil {
			return err
		}
	}
	for _, s := range c.Series {
		if len(s.Requests) == 0 {
			return fmt.Errorf("series %q has no request", s.Label)
		}
		for _, r := range s.Requests {
			for _, n := range []struct {
				name  string
				value float64
			}{{"arrival", r.Arrived}, {"latency", r.Latency}} {
				if err := checkNumber(n.name, "seconds", n.value); err != nil {
					return fmt.Errorf("series %q: %w", s.Label, err)
				}
			}
		}
		for i, config := range s.Configs {
			if err := checkNumber("time of configuration "+config.Name, "seconds", config.At); err != nil {
				return fmt.Errorf("series %q: %w", s.Label, err)
			}
			if i > 0 && config.At < s.Configs[i-1].At {
				return fmt.Errorf("series %q: configuration %s at %g s comes after one at %g s", s.Label, config.Name, config.At, s.Configs[i-1].At)
			}
		}
	}
	return nil
}

// end is the last arrival: where the time axis ends.
func (c Case) end() float64 {
	end := smallestRange
	for _, at := range c.Arrivals {
		end = max(end, at)
	}
	for _, s := range c.Series {
		for _, r := range s.Requests {
			end = max(end, r.Arrived)
		}
	}
	return end
}

// changes are the times inside the axis when any configuration changes.
func (c Case) changes() []float64 {
	end := c.end()
	var times []float64
	for _, s := range c.Series {
		for _, config := range s.Configs {
			if config.At > 0 && config.At < end {
				times = append(times, config.At)
			}
		}
	}
	return times
}
