// Command worker owns the GPUs of a node: it keeps weights and KV cache, and
// executes migrations and inference.
package main

import (
	"os"

	"github.com/spotserve/spotserve/services/worker"
)

func main() { os.Exit(worker.Program().Main()) }
