module github.com/spotserve/spotserve/services/collector

go 1.26

require (
	github.com/spotserve/spotserve/catalog v0.0.0
	github.com/spotserve/spotserve/core v0.0.0
	github.com/spotserve/spotserve/engine v0.0.0
	github.com/spotserve/spotserve/platform v0.0.0
	github.com/spotserve/spotserve/proto v0.0.0
)

replace (
	github.com/spotserve/spotserve/catalog => ../../catalog
	github.com/spotserve/spotserve/core => ../../core
	github.com/spotserve/spotserve/engine => ../../engine
	github.com/spotserve/spotserve/platform => ../../platform
	github.com/spotserve/spotserve/proto => ../../proto
)
