module github.com/spotserve/spotserve/catalog

go 1.26.0

require (
	github.com/agnivade/levenshtein v1.2.2
	github.com/spotserve/spotserve/core v0.0.0
	go.yaml.in/yaml/v3 v3.0.6
)

replace github.com/spotserve/spotserve/core => ../core
