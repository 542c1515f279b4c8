package service

import (
	"context"
	"fmt"

	"github.com/spf13/pflag"

	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/bus/natsbus"
)

// DefaultNATS is where a service looks for NATS.
const DefaultNATS = "nats://127.0.0.1:4222"

// DefaultStore is the store of a host on its own.
const DefaultStore = "sqlite:spotserve-data/store.db"

// NATSFlag adds --nats, the URL for Connect.
func NATSFlag(fs *pflag.FlagSet) *string {
	return fs.String("nats", DefaultNATS, "URL of the NATS server with JetStream, nats://host:port or tls://host:port, with user@ or user:password@ before the host where it has such users")
}

// StoreFlag adds --store, the URL of the SQL store.
func StoreFlag(fs *pflag.FlagSet) *string {
	return fs.String("store", DefaultStore, "SQL store, sqlite:PATH or clickhouse://user[:password]@host:9000/database")
}

// mostReplicas is JetStream's limit.
const mostReplicas = 5

// StreamReplicasFlag adds --stream-replicas, which CheckStreamReplicas checks.
func StreamReplicasFlag(fs *pflag.FlagSet, replicas *int) {
	fs.IntVar(replicas, "stream-replicas", 0, "how many servers of a NATS cluster keep each stream, an odd number, the same for all services; 0: as many as do now, 1 if the stream is new")
}

// CheckStreamReplicas refuses numbers that JetStream does not know.
func CheckStreamReplicas(n int) error {
	if n < 0 || n > mostReplicas {
		return fmt.Errorf("--stream-replicas %d: allowed are 1 to %d, and 0 for as many as there are", n, mostReplicas)
	}
	return nil
}

// Connect connects the process to the bus and lets go of it at the exit. A server
// that is there and does not answer for its streams is waited for: a cluster may
// be about to elect who does.
func (p *Process) Connect(ctx context.Context, name, url string) (b bus.Bus, err error) {
	connected := p.Ready.Add("NATS")
	err = bus.Insist(ctx, p.Log, func(ctx context.Context) (err error) {
		b, err = natsbus.Connect(ctx, natsbus.Options{
			URL: url, Credentials: p.Credentials, Name: "spotserve-" + name, Replicas: p.replicas, Log: p.Log,
			Metrics: p.Metrics,
			Linked: func(up bool) {
				if up {
					connected.Met()
				} else {
					connected.NotMet("there is no connection")
				}
			},
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	p.AtExit(b.Close)
	p.Log.Info("service runs", "nats", natsbus.Redacted(url))
	return b, nil
}
