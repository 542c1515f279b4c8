package catalog

import (
	"strings"
	"testing"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
)

func TestPublishedNumbersBelongToExperimentsThatRun(t *testing.T) {
	cells := Published()
	if len(cells) == 0 {
		t.Fatal("no published numbers")
	}
	type key struct {
		start  event.StartExperiment
		metric PublishedMetric
	}
	seen := make(map[key]bool)
	for _, c := range cells {
		if _, _, err := Resolve(c.Start); err != nil {
			t.Errorf("%+v: %v", c.Start, err)
		}
		if k := (key{c.Start, c.Metric}); seen[k] {
			t.Errorf("two numbers for the %s of %+v", c.Metric, c.Start)
		} else {
			seen[k] = true
		}
		if c.Source == "" || c.Value <= 0 {
			t.Errorf("%+v has no source or no value", c)
		}
	}
	// One cell by hand.
	want := PublishedCell{
		Start:  event.StartExperiment{Experiment: experiment.OnDemand, Nodes: 3},
		Metric: PublishedP99, Value: 253.3, Source: cells[0].Source, Calibration: true,
	}
	if cells[1] != want {
		t.Errorf("the second cell is %+v, want %+v", cells[1], want)
	}
}

func TestBrokenPublicationsAreRefused(t *testing.T) {
	const head = "name: x\nsource: y\ndescription: z\ncalibration: false\n"
	for _, tt := range []struct{ name, text, want string }{
		{"no cells", head + "cells: []\n", "cells is empty"},
		{"no average", head + "cells: [{experiment: e2e, p99_s: 3}]\n", "average_s of cell 1 is 0"},
		{"no experiment", head + "cells: [{average_s: 2, p99_s: 3}]\n", "experiment of cell 1 is missing"},
		{"twice", head + "cells:\n- {experiment: e2e, average_s: 1, p99_s: 3}\n- {experiment: e2e, average_s: 2, p99_s: 3}\n", "cells 1 and 2 are of one experiment"},
		{"unknown key", head + "cells: [{experiment: e2e, averge_s: 1}]\n", `did you mean "average_s"?`},
	} {
		if _, err := parse[publicationFile]("x.yaml", []byte(tt.text)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want an error with %q", tt.name, err, tt.want)
		}
	}
}
