module github.com/spotserve/spotserve/platform

go 1.26

require (
	github.com/spotserve/spotserve/core v0.0.0
	github.com/spotserve/spotserve/proto v0.0.0
)

replace (
	github.com/spotserve/spotserve/core => ../core
	github.com/spotserve/spotserve/proto => ../proto
)
