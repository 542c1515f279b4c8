package bench

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/engine/dataplane"
	"github.com/spotserve/spotserve/engine/dataplane/planetest"
)

// blobBytes is a blob of a model of some billions of parameters.
const blobBytes = 64 << 20

// blobs is a provider of equal blobs.
type blobs struct{ data []byte }

func (p blobs) Open(string, dataplane.Item) ([]byte, func(), error) { return p.data, func() {}, nil }
func (blobs) Held(string, dataplane.Item) int                       { return 1 }

func touched(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7)
	}
	return b
}

// planeOptions are those of a node whose server, once it listens, is found by all.
func planeOptions(node string, addrs *sync.Map) dataplane.Options {
	return dataplane.Options{Node: node, Resolve: func(_ context.Context, node string) (string, error) {
		addr, ok := addrs.Load(node)
		if !ok {
			return "", errors.New("no such node")
		}
		return addr.(string), nil
	}}
}

func listenPlane(b *testing.B, o dataplane.Options, addrs *sync.Map) *dataplane.Server {
	b.Helper()
	s, err := dataplane.Listen("127.0.0.1:0", o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	addrs.Store(o.Node, s.Addr())
	return s
}

// BenchmarkTransfer moves blobs from memory to memory over the loopback interface,
// both ends in this process, plain and under TLS, and beside it what bounds that:
// copying, summing, and plain TCP without a checksum.
func BenchmarkTransfer(b *testing.B) {
	data := touched(blobBytes)
	b.Run("memcpy", func(b *testing.B) {
		dst := touched(blobBytes)
		b.SetBytes(blobBytes)
		for b.Loop() {
			copy(dst, data)
		}
	})
	b.Run("crc32c", func(b *testing.B) {
		table := crc32.MakeTable(crc32.Castagnoli)
		b.SetBytes(blobBytes)
		for b.Loop() {
			crc32.Checksum(data, table)
		}
	})
	for _, streams := range []int{1, 2, 4} {
		b.Run(fmt.Sprintf("tcp/%d", streams), func(b *testing.B) { plainTransfer(b, data, streams) })
		b.Run(fmt.Sprintf("dataplane/%d", streams), func(b *testing.B) { planeTransfer(b, data, streams, nil) })
		b.Run(fmt.Sprintf("tls/%d", streams), func(b *testing.B) {
			planeTransfer(b, data, streams, planetest.NewAuthority(b).Security("a"))
		})
	}
}

func planeTransfer(b *testing.B, data []byte, streams int, security *dataplane.Security) {
	var addrs sync.Map
	o := planeOptions("a", &addrs)
	o.Security = security
	o.Provider, o.Streams = blobs{data}, streams
	listenPlane(b, o, &addrs)
	c, err := dataplane.NewClient(o)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	inStreams(b, streams, func(dst []byte) error {
		return c.Fetch(b.Context(), "a", "run", dataplane.Item{Kind: dataplane.Weights}, dst)
	})
}

// inStreams shares b's repetitions of move among streams.
func inStreams(b *testing.B, streams int, move func(dst []byte) error) {
	b.Helper()
	b.SetBytes(int64(streams * blobBytes))
	dst := make([][]byte, streams)
	for i := range dst {
		dst[i] = touched(blobBytes)
	}
	before := cpu(b)
	defer func() {
		moved := float64(b.N) * float64(streams) * blobBytes / (1 << 30)
		b.ReportMetric((cpu(b)-before).Seconds()/moved, "cpu-s/GiB")
	}()
	for b.Loop() {
		var wg sync.WaitGroup
		for _, d := range dst {
			wg.Go(func() {
				if err := move(d); err != nil {
					b.Error(err)
				}
			})
		}
		wg.Wait()
	}
}

// plainTransfer writes and reads chunks of the data plane's size, and nothing else:
// a byte asks for a blob.
func plainTransfer(b *testing.B, data []byte, streams int) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	conns := make(chan net.Conn, streams)
	for range streams {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = conn.Close() })
		conns <- conn
		served, err := l.Accept()
		if err != nil {
			b.Fatal(err)
		}
		go func() {
			defer served.Close()
			for {
				if _, err := io.ReadFull(served, make([]byte, 1)); err != nil {
					return
				}
				for rest := data; len(rest) > 0; {
					n, err := served.Write(rest[:min(len(rest), dataplane.ChunkBytes)])
					if err != nil {
						return
					}
					rest = rest[n:]
				}
			}
		}()
	}
	inStreams(b, streams, func(dst []byte) error {
		conn := <-conns
		defer func() { conns <- conn }()
		if _, err := conn.Write([]byte{1}); err != nil {
			return err
		}
		_, err := io.ReadFull(conn, dst)
		return err
	})
}

// BenchmarkSum is a tensor-parallel sum over the loopback interface, one rank a
// node, all in this process: the 768 values of one token of a model of 100 million
// parameters, and the 98,304 of a prefill of 128 of its tokens. Beside it, two
// plain connections exchange as many bytes and add them up.
func BenchmarkSum(b *testing.B) {
	for _, values := range []int{768, 128 * 768} {
		b.Run(fmt.Sprintf("values=%d/tcp/2", values), func(b *testing.B) { plainSum(b, values) })
		for _, ranks := range []int{2, 4} {
			b.Run(fmt.Sprintf("values=%d/dataplane/%d", values, ranks), func(b *testing.B) { planeSum(b, values, ranks, nil) })
			b.Run(fmt.Sprintf("values=%d/tls/%d", values, ranks), func(b *testing.B) {
				planeSum(b, values, ranks, planetest.NewAuthority(b).Security)
			})
		}
		b.Run(fmt.Sprintf("values=%d/one-process/2", values), func(b *testing.B) { localSum(b, values) })
	}
}

func planeSum(b *testing.B, values, ranks int, security func(node string) *dataplane.Security) {
	var addrs sync.Map
	var peers []dataplane.Peer
	for r := range ranks {
		peers = append(peers, dataplane.Peer{Node: fmt.Sprintf("n%d", r)})
	}
	var meshes []*dataplane.Mesh
	for _, p := range peers {
		o := planeOptions(p.Node, &addrs)
		if security != nil {
			o.Security = security(p.Node)
		}
		s := listenPlane(b, o, &addrs)
		meshes = append(meshes, joinPlane(b, s, peers))
	}
	sums(b, values, ranks, func(rank int) *dataplane.Mesh { return meshes[rank] }, peers)
}

func localSum(b *testing.B, values int) {
	var addrs sync.Map
	peers := []dataplane.Peer{{Node: "n", Device: 0}, {Node: "n", Device: 1}}
	m := joinPlane(b, listenPlane(b, planeOptions("n", &addrs), &addrs), peers)
	sums(b, values, 2, func(int) *dataplane.Mesh { return m }, peers)
}

func joinPlane(b *testing.B, s *dataplane.Server, peers []dataplane.Peer) *dataplane.Mesh {
	b.Helper()
	m, err := s.Join("run", event.Epoch{Term: 1}, map[int][]dataplane.Peer{0: peers})
	if err != nil {
		b.Fatal(err)
	}
	return m
}

// sums has every rank add up as often as b says; rank 0 keeps the count.
func sums(b *testing.B, values, ranks int, mesh func(rank int) *dataplane.Mesh, peers []dataplane.Peer) {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	var wg sync.WaitGroup
	var first *dataplane.Comm
	for rank := range ranks {
		c, err := mesh(rank).Comm(peers, rank, dataplane.Step{Number: 1})
		if err != nil {
			b.Fatal(err)
		}
		if rank == 0 {
			first = c
			continue
		}
		wg.Go(func() {
			x := make([]float32, values)
			for c.Sum(ctx, x) == nil {
			}
		})
	}
	x := make([]float32, values)
	b.SetBytes(int64(4 * values))
	for b.Loop() {
		if err := first.Sum(ctx, x); err != nil {
			b.Fatal(err)
		}
	}
	cancel()
	wg.Wait()
}

func plainSum(b *testing.B, values int) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	one, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	other, err := l.Accept()
	if err != nil {
		b.Fatal(err)
	}
	round := func(conn net.Conn, mine, theirs []byte, x, y []float32) error {
		sent := make(chan error, 1)
		if len(mine) > 16<<10 { // more than sockets are sure to take
			go func() { _, err := conn.Write(mine); sent <- err }()
		} else {
			_, err := conn.Write(mine)
			sent <- err
		}
		_, err := io.ReadFull(conn, theirs)
		dataplane.Add(x, y)
		return errors.Join(err, <-sent)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		mine, theirs, x, y := make([]byte, 4*values), make([]byte, 4*values), make([]float32, values), make([]float32, values)
		for round(other, mine, theirs, x, y) == nil {
		}
	})
	mine, theirs, x, y := make([]byte, 4*values), make([]byte, 4*values), make([]float32, values), make([]float32, values)
	b.SetBytes(int64(4 * values))
	for b.Loop() {
		if err := round(one, mine, theirs, x, y); err != nil {
			b.Fatal(err)
		}
	}
	_ = one.Close()
	_ = other.Close()
	wg.Wait()
}
