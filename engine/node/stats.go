package node

import "sync/atomic"

// counters count what the node has done since it was opened.
type counters struct {
	received, loaded, sent   atomic.Int64 // bytes
	recovered                atomic.Int64 // pieces of context
	steps, failed, positions atomic.Int64
}

// Stats are what the node holds now, and what it has done since it was opened.
type Stats struct {
	WeightBytes, CacheBytes int64 // held
	UsedBytes, PeakBytes    int64 // of the memory, what is kept free for cache included

	ReceivedBytes, LoadedBytes, SentBytes int64 // of context: from peers, from the model's own place, to peers

	Connections int64 // that peers have opened now

	Recovered int64 // pieces of context that came from elsewhere than planned
	Steps     int64 // that a device of the node has computed its part of
	Failed    int64 // that a device of the node could not
	Positions int64 // tokens in those steps
}

// Stats returns a snapshot.
func (n *Node) Stats() Stats {
	return Stats{
		WeightBytes: n.store.Bytes(), CacheBytes: n.cache.Used(), UsedBytes: n.arena.Used(), PeakBytes: n.arena.Peak(),
		ReceivedBytes: n.stats.received.Load(), LoadedBytes: n.stats.loaded.Load(), SentBytes: n.stats.sent.Load(),
		Connections: int64(n.server.Conns()),
		Recovered:   n.stats.recovered.Load(), Steps: n.stats.steps.Load(), Failed: n.stats.failed.Load(), Positions: n.stats.positions.Load(),
	}
}
