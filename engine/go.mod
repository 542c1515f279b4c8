module github.com/spotserve/spotserve/engine

go 1.26.0
