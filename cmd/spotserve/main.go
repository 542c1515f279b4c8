// Command spotserve runs SpotServe's experiments: in virtual time, with all
// services in this process, or on services that run elsewhere.
package main

import (
	"os"
	"runtime/debug"

	"github.com/spotserve/spotserve/cmd/spotserve/internal/cli"
)

// gcPercent lets the heap grow to five times what is alive before it is
// collected: of the millions of events of a virtual run hardly any stays alive,
// so that is little, and saves a tenth of the time. GOGC overrules it.
const gcPercent = 400

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	os.Exit(cli.Main(os.Args[1:], os.Stdout, os.Stderr))
}
