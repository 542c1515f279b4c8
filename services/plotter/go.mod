module github.com/spotserve/spotserve/services/plotter

go 1.26.0

require (
	codeberg.org/go-pdf/fpdf v0.11.1
	github.com/prometheus/client_golang v1.25.0
	golang.org/x/text v0.42.0
	gonum.org/v1/plot v0.17.0
)

require (
	github.com/beorn7/perks v1.0.1 // indirect
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/munnerz/goautoneg v0.0.0-20191010083416-a7dc8b61c822 // indirect
	github.com/oklog/run v1.2.0
	github.com/prometheus/client_model v0.6.3 // indirect
	github.com/prometheus/common v0.72.0 // indirect
	github.com/prometheus/procfs v0.22.0 // indirect
	github.com/spf13/pflag v1.1.0 // indirect
	github.com/spotserve/spotserve/proto v0.0.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	google.golang.org/protobuf v1.36.12 // indirect
)

require (
	codeberg.org/go-fonts/liberation v0.5.0 // indirect
	codeberg.org/go-latex/latex v0.2.0 // indirect
	git.sr.ht/~sbinet/gg v0.7.0 // indirect
	github.com/ajstarks/svgo v0.0.0-20211024235047-1546f124cd8b // indirect
	github.com/golang/freetype v0.0.0-20170609003504-e2365dfdc4a0 // indirect
	github.com/spotserve/spotserve/core v0.0.0
	github.com/spotserve/spotserve/platform v0.0.0
	golang.org/x/image v0.30.0 // indirect
)

replace (
	github.com/spotserve/spotserve/catalog => ../../catalog
	github.com/spotserve/spotserve/core => ../../core
	github.com/spotserve/spotserve/platform => ../../platform
	github.com/spotserve/spotserve/proto => ../../proto
)
