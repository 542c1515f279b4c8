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
//	arrive FIRST GAP COUNT       evenly spaced requests; then PROMPT OUTPUT, if
//	                             their tokens are not those of the model's experiment
//	continuous LIMIT             continuous batching, so many at a time
//	loop MOST POOL START [START] a closed loop: instances at most, candidate pool,
//	                             seconds to start a spot and an on-demand instance;
//	                             without the last it asks for none of those
//	objective NAME [SECONDS]     latency, cost, slo; the target of slo
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
	spec := fixture.At(s.spec, s.timeline)
	spec.Nodes = append(spec.Nodes, spec.Provisioning.OnDemandNodes()...)
	return spec, s.timeline, nil
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
	if name == "objective" && len(args) > 0 {
		s.spec.Objective = experiment.Objective(args[0])
		args = args[1:]
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
	case name == "objective" && len(args) < 2:
		for _, n := range numbers {
			s.spec.SLOP99 = vtime.Duration(n)
		}
	case name == "loop" && (len(args) == 3 || len(args) == 4):
		s.spec.Provision = experiment.ClosedLoop
		s.spec.Provisioning = experiment.Provisioning{
			MaxInstances: int(numbers[0]), CandidatePool: int(numbers[1]), SpotStart: vtime.Duration(numbers[2]),
		}
		if len(args) == 4 {
			s.spec.Provisioning.OnDemand, s.spec.Provisioning.OnDemandStart = true, vtime.Duration(numbers[3])
		}
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
	case name == "arrive" && (len(args) == 3 || len(args) == 5):
		arrivals := fixture.Even(numbers[0], numbers[1], int(numbers[2]))
		for i := range arrivals {
			if len(args) == 5 {
				arrivals[i].PromptTokens, arrivals[i].OutputTokens = int(numbers[3]), int(numbers[4])
			}
		}
		s.timeline.Arrivals = append(s.timeline.Arrivals, arrivals...)
	case name == "continuous" && len(args) == 1:
		s.spec.Batching, s.spec.BatchLimit = experiment.Continuous, int(numbers[0])
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
