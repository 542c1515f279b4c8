package fidelity

import "github.com/spotserve/spotserve/core/experiment"

// latency is the average and the 99th percentile of a run, in seconds.
type latency struct{ avg, p99 float64 }

// The calibration data: GPT-20B on four-T4 instances at 0.35 requests/s.
// Source: the measurements published with the SpotServe paper and artifact
// (ASPLOS'24, Apache-2.0). Nothing else that was published is here: all other
// results are left to be predicted.

// publishedFleets are the fixed on-demand fleets, by nodes.
var publishedFleets = map[int]latency{
	3: {141.5, 253.3},
	4: {98.0, 175.3},
	6: {29.1, 43.5},
	8: {24.6, 34.5},
}

// publishedAs are the runs on the spot trace A_S, by approach.
var publishedAs = map[experiment.Approach]latency{
	experiment.SpotServe:         {23.5, 46.1},
	experiment.Rerouting:         {26.3, 51.0},
	experiment.Reparallelization: {32.0, 61.3},
}
