module github.com/spotserve/spotserve/bench

go 1.26.0

require (
	github.com/spotserve/spotserve/catalog v0.0.0
	github.com/spotserve/spotserve/core v0.0.0
	github.com/spotserve/spotserve/platform v0.0.0
	github.com/spotserve/spotserve/proto v0.0.0
	github.com/spotserve/spotserve/services/collector v0.0.0
	github.com/spotserve/spotserve/services/planner v0.0.0
	github.com/spotserve/spotserve/services/plotter v0.0.0
	github.com/spotserve/spotserve/services/trace-replayer v0.0.0
	github.com/spotserve/spotserve/services/worker v0.0.0
)

replace (
	github.com/spotserve/spotserve/catalog => ../catalog
	github.com/spotserve/spotserve/core => ../core
	github.com/spotserve/spotserve/platform => ../platform
	github.com/spotserve/spotserve/proto => ../proto
	github.com/spotserve/spotserve/services/collector => ../services/collector
	github.com/spotserve/spotserve/services/planner => ../services/planner
	github.com/spotserve/spotserve/services/plotter => ../services/plotter
	github.com/spotserve/spotserve/services/trace-replayer => ../services/trace-replayer
	github.com/spotserve/spotserve/services/worker => ../services/worker
)
