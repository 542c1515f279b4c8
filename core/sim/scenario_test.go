package sim_test

import (
	"bufio"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/internal/fixture"
	"github.com/spotserve/spotserve/core/vtime"
)

// parseScenario reads the upper part of a transcript, one command a line:
//
//	model 20B|6.7B|small         the published experiment to start from
//	approach NAME [LEVEL]        spotserve, rerouting, reparallelization; the ablation level
//	grace SECONDS                notice ahead of every change
//	drain                        run on until every request is answered
//	add SECONDS NODE...          nodes join, by number
//	remove SECONDS NODE...       nodes leave
//	require SECONDS RATE         the required throughput changes, requests/s
//	arrive FIRST GAP COUNT       evenly spaced requests
//	end SECONDS                  the trace is done
//
// Lines that begin with # are comments. There is no jitter, so that times can
// be followed by hand.
func parseScenario(text string) (experiment.Spec, experiment.Timeline, error) {
	var s scenario
	lines := bufio.NewScanner(strings.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := s.command(strings.Fields(line)); err != nil {
			return s.spec, s.timeline, fmt.Errorf("line %d, %q: %w", n, line, err)
		}
	}
	s.spec.Engine.JitterSigma = 0
	return fixture.At(s.spec, s.timeline), s.timeline, nil
}

type scenario struct {
	spec     experiment.Spec
	timeline experiment.Timeline
}

func (s *scenario) command(words []string) error {
	name, args := words[0], words[1:]
	if name == "model" && len(args) == 1 {
		models := map[string]func() experiment.Spec{"20B": fixture.GPT20B, "6.7B": fixture.OPT6B7, "small": fixture.Small}
		model, ok := models[args[0]]
		if !ok {
			return fmt.Errorf("unknown model")
		}
		s.spec = model()
		return nil
	}
	if name == "approach" && len(args) > 0 {
		s.spec.Approach = experiment.Approach(args[0])
		if len(args) == 2 {
			level, err := strconv.Atoi(args[1])
			s.spec.Level = level
			return err
		}
		return nil
	}
	numbers := make([]float64, len(args))
	for i, a := range args {
		var err error
		if numbers[i], err = strconv.ParseFloat(a, 64); err != nil {
			return err
		}
	}
	switch {
	case name == "drain" && len(args) == 0:
		s.spec.Drain = true
	case name == "grace" && len(args) == 1:
		s.spec.Grace = time.Duration(numbers[0] * float64(time.Second))
	case name == "end" && len(args) == 1:
		s.timeline.End = vtime.Seconds(numbers[0])
	case name == "add" && len(args) > 1:
		s.change(fixture.Add(numbers[0], integers(numbers[1:])...))
	case name == "remove" && len(args) > 1:
		s.change(fixture.Remove(numbers[0], integers(numbers[1:])...))
	case name == "require" && len(args) == 2:
		s.change(experiment.Change{At: vtime.Seconds(numbers[0]), Kind: experiment.Throughput, RequiredThroughput: numbers[1]})
	case name == "arrive" && len(args) == 3:
		s.timeline.Arrivals = append(s.timeline.Arrivals, fixture.Even(numbers[0], numbers[1], int(numbers[2]))...)
	default:
		return fmt.Errorf("unknown command, or not its arguments")
	}
	return nil
}

func (s *scenario) change(c experiment.Change) { s.timeline.Changes = append(s.timeline.Changes, c) }

func integers(numbers []float64) []int {
	out := make([]int, len(numbers))
	for i, n := range numbers {
		out[i] = int(n)
	}
	return out
}
