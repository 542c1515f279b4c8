package worker_test

import (
	"testing"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
)

// running returns a node with request 1 in a batch since 10.01 s: its prefill ends
// at 12.01 s, token k is there at 12.01 s + k*100 ms, the answer at 13.51 s.
func running(t *testing.T) *node {
	n := serving(t, spec())
	n.send(assign(epoch1, request(1, 0)))
	n.until(10.5)
	n.said("10.030 batch 1 of [1]")
	return n
}

func TestArrangement(t *testing.T) {
	for _, tt := range []struct {
		name    string
		arrange event.ArrangeInterruption
		want    []string
	}{
		// 12.41 s is token 4; 12.51 s would be too late.
		{"preemption: as many tokens as fit", leave(epoch1, 12.5), []string{"12.430 exit with [1+4], not begun []"}},
		{"acquisition: one more than fits", join(epoch1, 12.5), []string{"12.530 exit with [1+5], not begun []"}},
		// Not a token fits: the prefill is given up.
		{"preemption: within the prefill", leave(epoch1, 12.05), []string{"10.520 exit with [], not begun [1]"}},
		// The whole batch fits; after it the pipeline waits for work until not even
		// a prefill of 2 s would fit.
		{"preemption: after the batch", leave(epoch1, 17), []string{
			"13.530 batch 1 of [1] done in 3.5s", "15.020 exit with [], not begun []",
		}},
		{"preemption: after the batch, too late for another", leave(epoch1, 14), []string{
			"13.530 batch 1 of [1] done in 3.5s", "13.530 exit with [], not begun []",
		}},
		{"acquisition: after the batch", join(epoch1, 17), []string{
			"13.530 batch 1 of [1] done in 3.5s", "15.020 exit with [], not begun []",
		}},
		{"in the past", leave(epoch1, 9), []string{"10.520 exit with [], not begun [1]"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := running(t)
			n.send(tt.arrange)
			n.until(30)
			n.said(tt.want...)
			// It is gone now.
			n.send(assign(epoch1, request(9, 0)))
			n.until(40)
			n.said()
		})
	}
}

// TestArrangementInMidDecode: tokens that are there already count, even past the
// stop.
func TestArrangementInMidDecode(t *testing.T) {
	n := running(t)
	n.until(12.45)
	n.send(leave(epoch1, 12.2))
	n.until(30)
	n.said("12.470 exit with [1+4], not begun []")
}

func TestAnEarlierStopReplacesTheArrangement(t *testing.T) {
	n := running(t)
	n.send(leave(epoch1, 13.2))
	n.until(11)
	n.send(leave(epoch1, 12.5))
	n.until(30)
	n.said("12.430 exit with [1+4], not begun []")
}

func TestWhatWasNotBegunComesBack(t *testing.T) {
	n := running(t)
	n.send(leave(epoch1, 12.5), assign(epoch1, request(2, 0), request(3, 3)))
	n.until(30)
	n.said("12.430 exit with [1+4], not begun [2 3]")
}

func TestAnArrangedPipelineStillTakesABatchThatFits(t *testing.T) {
	n := serving(t, spec())
	n.send(leave(epoch1, 13)) // idle until 11 s
	n.until(10.5)
	n.send(assign(epoch1, request(1, 0)))
	n.until(30)
	// Begun at 10.51 s; token 4 is there at 12.91 s, token 5 at 13.01 s.
	n.said("10.530 batch 1 of [1]", "12.930 exit with [1+4], not begun []")
}

func TestAnArrangedPipelineBeginsNothingThatIsTooLate(t *testing.T) {
	n := serving(t, spec())
	n.send(leave(epoch1, 12.005), assign(epoch1, request(1, 0)))
	n.until(30)
	// It could wait until 10.005 s; the poll at 10.01 s comes too late.
	n.said("10.025 exit with [], not begun [1]")
}

// TestAPollThatIsTooLate: a batch ends so late that the next one of the pool
// would not fit.
func TestAPollThatIsTooLate(t *testing.T) {
	for stop, exit := range map[float64]string{
		15.515: "13.535", // idle until 13.515 s, before the poll at 13.52 s
		15.52:  "13.540", // at the poll
	} {
		n := running(t)
		n.send(assign(epoch1, request(2, 0)), leave(epoch1, stop))
		n.until(30)
		n.said("13.530 batch 1 of [1] done in 3.5s", exit+" exit with [], not begun [2]")
	}
}

func TestABatchThatCannotDecodeOneTokenIsNotBegun(t *testing.T) {
	n := serving(t, spec())
	// The prefill of a longer prompt does not fit, though one of 100 tokens would.
	long := request(1, 0)
	long.PromptTokens = 300
	n.send(leave(epoch1, 15), assign(epoch1, long))
	n.until(30)
	n.said("10.030 exit with [], not begun [1]")
}

func TestAPipelineThatIsNotUpExitsAtOnce(t *testing.T) {
	n := newNode(t, spec())
	n.send(plan(epoch1, 9, request(1, 6)), assign(epoch1, request(2, 0)))
	n.until(3)
	n.send(leave(epoch1, 30))
	n.until(30)
	// The inherited batch keeps its tokens and its KV cache.
	n.said(
		"3.020 exit with [1+6], not begun [2]",
		"7.020 stage 0 up", "9.020 context of 1.1: 0 bytes, 0 from disk",
	)
}

// TestAResumedBatchThatIsTooLate keeps its tokens and its KV cache, too.
func TestAResumedBatchThatIsTooLate(t *testing.T) {
	n := newNode(t, spec())
	n.send(plan(epoch1, 9, request(1, 6)))
	n.until(8)
	n.send(leave(epoch1, 9.05), assign(epoch1, request(2, 0)))
	n.until(30)
	n.said(
		"7.020 stage 0 up", "8.020 exit with [1+6], not begun [2]",
		"9.020 context of 1.1: 0 bytes, 0 from disk",
	)
}

func TestAResumedBatchCanBeCutAgain(t *testing.T) {
	n := newNode(t, spec())
	n.send(plan(epoch1, 9, request(1, 2)))
	n.until(9)
	n.send(leave(epoch1, 9.35))
	n.until(30)
	n.said(
		"7.020 stage 0 up", "9.020 context of 1.1: 0 bytes, 0 from disk", "9.020 batch 1 of [1] resumed",
		"9.320 exit with [1+5], not begun []",
	)
}

// TestAnArrangementKeepsTheCommits: commits go on until the cut, and none is
// behind what was reported.
func TestAnArrangementKeepsTheCommits(t *testing.T) {
	s := spec()
	s.CommitInterval = 3
	n := serving(t, s)
	n.send(assign(epoch1, request(1, 0)), leave(epoch1, 12.8))
	n.until(30)
	n.said(
		"10.030 batch 1 of [1]", "12.330 batch 1 has 3 tokens", "12.630 batch 1 has 6 tokens",
		"12.730 exit with [1+7], not begun []",
	)
}

// TestAStatelessPipelineKeepsNothing: baselines and ablation levels 3 and 4
// begin interrupted requests anew.
func TestAStatelessPipelineKeepsNothing(t *testing.T) {
	for name, change := range map[string]func(*experiment.Spec){
		"rerouting":           func(s *experiment.Spec) { s.Approach = experiment.Rerouting },
		"reparallelization":   func(s *experiment.Spec) { s.Approach = experiment.Reparallelization },
		"without arrangement": func(s *experiment.Spec) { s.Level = 3 },
	} {
		t.Run(name, func(t *testing.T) {
			s := spec()
			s.CommitInterval = 3
			change(&s)
			n := serving(t, s)
			n.send(assign(epoch1, request(1, 0), request(2, 0), request(3, 0)), leave(epoch1, 12.8))
			n.until(30)
			n.said("10.030 batch 1 of [1 2]", "12.730 exit with [], not begun [1 2 3], 7 tokens in vain")
		})
	}
}
