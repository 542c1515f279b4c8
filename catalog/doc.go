// Package catalog knows the published experiments and everything they name:
// models with their latency profiles, instance types, engine costs and
// availability traces, as strict YAML embedded in the binary, each file with
// its source.
//
// [Resolve] turns a start event into what planner, workers and trace-replayer
// need, or says what is wrong with it and what is allowed. [ReadAvailability],
// [ReadAvailabilityCSV], [ReadArrivals] and [ReadProfile] read the file formats
// of the published artifact, so that an experiment can be pointed at them.
package catalog
