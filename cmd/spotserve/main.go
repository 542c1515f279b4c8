// Command spotserve runs SpotServe's experiments: in virtual time, with all
// services in this process, or on services that run elsewhere.
package main

import (
	"os"

	"github.com/spotserve/spotserve/cmd/spotserve/internal/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:], os.Stdout, os.Stderr)) }
