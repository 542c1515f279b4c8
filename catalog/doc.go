// Package catalog knows the published experiments and everything they name:
// models with their latency profiles, GPU and instance types, engine costs and
// availability traces, as strict YAML embedded in the binary, each file with
// its source. And it reads the experiment files of users.
//
// [Resolve] turns a start event into what planner, workers and trace-replayer
// need, or says what is wrong with it and what is allowed. A published
// experiment is settled as an experiment file that the catalogue writes:
// [Config] prints it, [ReadCustom] reads it and those of users, and both kinds
// have one path from there on.
//
// [ReadAvailability], [ReadAvailabilityCSV], [ReadArrivals] and [ReadProfile]
// read the file formats of the published artifact, [ReadRequestsCSV] that of
// public traces of LLM requests, so that an experiment can be pointed at them.
package catalog
