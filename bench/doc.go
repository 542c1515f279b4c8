// Package bench holds the benchmarks that span modules: whole virtual runs, the
// controller at growing fleets, the bus from publish to handler, the collector
// into both stores, the wire format, and the engine.
//
// No test fails for being slow. Where a number means little on its own, the
// plainest thing that does the same work is measured beside it in the same run:
// the ratio holds on a noisy machine, the number does not. README.md says how to
// run them and what came out.
package bench
