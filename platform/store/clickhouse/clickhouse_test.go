package clickhouse_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/spotserve/spotserve/platform/store/storetest"
	"github.com/spotserve/spotserve/platform/store/storetest/chtest"
)

// databases returns a function that names a new database at each call.
func databases(server *chtest.Server) func(*testing.T) string {
	var n atomic.Int64
	return func(*testing.T) string { return server.URL(fmt.Sprintf("test_%d", n.Add(1))) }
}

func TestConformance(t *testing.T) {
	storetest.Run(t, databases(chtest.Start(t)))
}
