package linktest

import (
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
)

// Unused returns n addresses of the loopback interface at which nobody listens,
// no two the same. They are below the ports that systems give to connections and
// to listeners of port 0, so another test does not come by one before it is used.
func Unused(t testing.TB, n int) (addresses []string) {
	t.Helper()
	var taken []net.Listener // until all are found, so that no two are the same
	defer func() {
		for _, l := range taken {
			_ = l.Close()
		}
	}()
	for tries := 0; len(addresses) < n; tries++ {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(10_000+rand.IntN(20_000)))
		l, err := net.Listen("tcp", address)
		if err != nil {
			if tries > 100 {
				t.Fatal(err)
			}
			continue
		}
		taken, addresses = append(taken, l), append(addresses, address)
	}
	return addresses
}
