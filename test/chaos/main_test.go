//go:build unix

// Package chaos runs the services as processes and has them, the NATS server,
// the store and the network between them fail in mid-run. docs/reliability.md
// says which promise each test shows.
//
// Times: leases (3 s), heartbeats (silent after 5 s) and reconnects are wall
// time, whatever the time scale. At the scale of these tests (20) a takeover
// takes a minute or two of experiment time, so the grace period is 120 s: a
// notice that comes as a planner dies still finds its successor in time. At
// scale 1 the published 30 s do.
package chaos

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"github.com/spotserve/spotserve/platform/natsserver"
	"github.com/spotserve/spotserve/test/internal/program"
)

var programs program.Folder

// serverEnv makes this program a NATS server with the options that it holds.
const serverEnv = "CHAOS_NATS_SERVER"

func TestMain(m *testing.M) {
	if options := os.Getenv(serverEnv); options != "" {
		if err := serve(options); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	// The tests wait far more than they work.
	flag.Parse()
	if err := flag.Set("test.parallel", "10"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(programs.Main(m))
}

func serve(options string) error {
	var o natsserver.Options
	if err := json.Unmarshal([]byte(options), &o); err != nil {
		return err
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	s, err := natsserver.Start(o)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%s%s\n", serves, s.URL())
	<-stop
	return s.Shutdown()
}

// serves comes before the URL of a server that has started.
const serves = "serves at "

var service = programs.Service
