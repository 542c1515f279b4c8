module github.com/spotserve/spotserve/catalog

go 1.26

require github.com/spotserve/spotserve/core v0.0.0

require go.yaml.in/yaml/v3 v3.0.6 // indirect

replace github.com/spotserve/spotserve/core => ../core
