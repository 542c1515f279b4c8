module github.com/spotserve/spotserve/engine

go 1.26.0

require (
	github.com/spotserve/spotserve/core v0.0.0
	golang.org/x/sys v0.49.0
)

require go.uber.org/goleak v1.3.0

replace github.com/spotserve/spotserve/core => ../core
