module github.com/spotserve/spotserve/catalog

go 1.26

require (
	github.com/spotserve/spotserve/core v0.0.0
)

replace (
	github.com/spotserve/spotserve/core => ../core
)
