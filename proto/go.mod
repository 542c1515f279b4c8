module github.com/spotserve/spotserve/proto

go 1.26
