package catalog

import (
	"fmt"
	"maps"
	"slices"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
)

// PublishedMetric is what a published number measures.
type PublishedMetric string

// The published metrics, in seconds of latency over the requests that completed
// before the run's end.
const (
	PublishedAverage PublishedMetric = "average"
	PublishedP99     PublishedMetric = "p99" // sorted[int(0.99*n)]
)

// PublishedCell is one published number.
type PublishedCell struct {
	// Start is the experiment that was measured, with no options and with what
	// does not apply left out: an on-demand fleet has Nodes alone.
	Start       event.StartExperiment
	Metric      PublishedMetric
	Value       float64 // seconds
	Source      string
	Calibration bool // constants of the engine were fitted to it
}

// Published returns every published number that the catalogue knows: files in
// the order of their names, cells in the order of their file, metric by metric.
func Published() []PublishedCell {
	var cells []PublishedCell
	files := builtin().published
	for _, name := range slices.Sorted(maps.Keys(files)) {
		cells = append(cells, files[name].published()...)
	}
	return cells
}

// publicationFile is data/published/NAME.yaml.
type publicationFile struct {
	Name        string            `yaml:"name"`
	Source      string            `yaml:"source"`
	Description string            `yaml:"description"`
	Calibration bool              `yaml:"calibration"`
	Cells       []publicationCell `yaml:"cells"`
}

// publicationCell holds the numbers of one experiment.
type publicationCell struct {
	Experiment experiment.Kind `yaml:"experiment"`
	Approach   string          `yaml:"approach,omitempty"`
	Model      string          `yaml:"model,omitempty"`
	Trace      string          `yaml:"trace,omitempty"`
	Nodes      int             `yaml:"nodes,omitempty"`
	Level      int             `yaml:"level,omitempty"`
	AverageS   float64         `yaml:"average_s"`
	P99S       float64         `yaml:"p99_s"`
}

func (c publicationCell) start() event.StartExperiment {
	return event.StartExperiment{
		Experiment: c.Experiment, Approach: c.Approach, Model: c.Model, Trace: c.Trace, Nodes: c.Nodes, Level: c.Level,
	}
}

func (p publicationFile) check(file string) error {
	c := checker{file: file}
	c.text("name", p.Name)
	c.text("source", p.Source)
	c.require(len(p.Cells) > 0, "cells is empty")
	seen := make(map[event.StartExperiment]int)
	for i, cell := range p.Cells {
		first, twice := seen[cell.start()]
		c.require(!twice, "cells %d and %d are of one experiment", first+1, i+1)
		seen[cell.start()] = i
		c.text(fmt.Sprintf("experiment of cell %d", i+1), string(cell.Experiment))
		c.positive(fmt.Sprintf("average_s of cell %d", i+1), cell.AverageS, maxCostSeconds)
		c.positive(fmt.Sprintf("p99_s of cell %d", i+1), cell.P99S, maxCostSeconds)
	}
	return c.err()
}

func (p publicationFile) published() []PublishedCell {
	var cells []PublishedCell
	for _, c := range p.Cells {
		of := PublishedCell{Start: c.start(), Source: p.Source, Calibration: p.Calibration}
		of.Metric, of.Value = PublishedAverage, c.AverageS
		cells = append(cells, of)
		of.Metric, of.Value = PublishedP99, c.P99S
		cells = append(cells, of)
	}
	return cells
}
