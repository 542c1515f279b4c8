// Package deployment runs a whole deployment as a site would: every service a
// process with an address and credentials of its own, NATS in a cluster of three
// and ClickHouse of the distribution with the files of deploy/, TLS everywhere,
// and the stock nats and clickhouse-client to work with it. Each process lives in
// a network namespace, as on a machine of its own, on a network that only they
// are on.
package deployment
