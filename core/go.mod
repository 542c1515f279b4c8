module github.com/spotserve/spotserve/core

go 1.26.0
