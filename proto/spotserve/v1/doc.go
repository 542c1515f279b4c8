// Package spotservev1 holds the messages of the bus, generated from the .proto
// files beside it. It has no logic: platform/wire maps the messages to and from
// the events of core.
package spotservev1
