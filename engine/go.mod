module github.com/spotserve/spotserve/engine

go 1.26.0

require github.com/spotserve/spotserve/core v0.0.0

replace github.com/spotserve/spotserve/core => ../core
