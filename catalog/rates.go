package catalog

import "fmt"

// ratesFile is data/rates/NAME.yaml: an arrival rate that changes every minute.
type ratesFile struct {
	Name        string    `yaml:"name"`
	Source      string    `yaml:"source"`
	Description string    `yaml:"description"`
	RatesRPS    []float64 `yaml:"rates_rps"`
}

func (r ratesFile) check(file string) error {
	c := checker{file: file}
	c.text("name", r.Name)
	c.text("source", r.Source)
	c.require(len(r.RatesRPS) > 0, "rates_rps is empty")
	for i, rate := range r.RatesRPS {
		c.positive(fmt.Sprintf("rates_rps[%d]", i), rate, maxThroughput)
	}
	return c.err()
}
