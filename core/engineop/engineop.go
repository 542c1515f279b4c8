// Package engineop is what a worker's core and its engine say to each other in a
// measured run: operations as data, and the events that answer them.
//
// Both stay on the node; neither is ever on the bus. A driver hands an operation
// over in the order of the effects, and Do must not wait: what takes time is
// answered by an event. The events are taken between messages of the bus, at the
// clock's time.
//
// # Who does what
//
// Every node of a plan gets Reshape. Only the leader of a pipeline, the node with
// its first position, gets Compute; its engine takes the step to the other ranks
// over the data plane.
//
// A pipeline is named by its number and the epoch of the plan that started it. A
// pipeline that later plans keep (ApplyMigration.Keep) goes by its old epoch:
// steps, frames and Halt name that one, whatever the node's newest epoch is.
//
// # What the engine may rely on
//
// The KV cache at a position is a function of the tokens up to there, and the
// tokens of a request never change, however the model is cut. So cache of a
// request is right wherever it is found, any prefix of it is worth keeping, and a
// step may be repeated.
package engineop

import (
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
)

// Op is an operation of the engine: Reshape, Prepare, Compute, Halt, Clear or
// GiveUp.
type Op interface{ op() }

// Reshape brings the node into a new configuration. It stops whatever the node
// computes for pipelines that Part does not keep, but keeps their context until
// it is not needed: other nodes may still fetch it.
//
// Part.Steps say what moves from where, and in which order; context that the node
// has already stays. What has no step, or a step whose source cannot give it,
// comes from whoever holds it, else weights from the model's own place; cache
// that nobody holds is left out. Cache belongs to the requests of Resume; that of
// all other requests of pipelines that are not kept can go.
//
// Answers: ContextLanded once; StageUp for every pipeline of Part.Pipelines, once
// the node's shards can compute; CacheLanded where the node leads.
type Reshape struct{ Part event.ApplyMigration }

// Prepare fetches ahead what a plan to come is expected to need, while pipelines
// still decode: weights, and the cache that is there so far. It changes nothing
// that is computed, has no answer, and the next Reshape ends it.
type Prepare struct{ Part event.PrepareMigration }

// Compute is one step of a micro-batch. The leader has one in flight a group; the
// steps of a pipeline's groups may be computed side by side.
//
// The answer is Computed or ComputeFailed, with the same names, once. What failed
// is computed by the next step of the group, from the same positions.
type Compute struct {
	Epoch     event.Epoch
	Pipeline  int
	Group     int    // from 0
	Step      uint64 // counts the steps of the group from 1
	Sequences []Sequence
	// Release lists requests of the pipeline that have ended: their cache goes on
	// every rank, before the step. No step in flight has one of them.
	Release []event.RequestID
}

// Sequence is what a step computes of one request.
type Sequence struct {
	Request event.RequestID
	Start   int     // position of the first token; the cache holds all before
	Tokens  []int32 // at positions Start, Start+1, ...
	// Sample wants the token that follows the last.
	Sample   bool
	Sampling experiment.Sampling // with the request's own seed
}

// Halt gives up every step of a pipeline; none is answered any more. Its cache
// stays, for the plan that follows.
type Halt struct {
	Epoch    event.Epoch
	Pipeline int
}

// Clear empties the node: the instance is gone, or the run is over.
type Clear struct{}

// GiveUp says that the node cannot serve: a pipeline that it leads has failed for
// too long. It is for the driver, which leaves the run and joins it again with
// nothing.
type GiveUp struct {
	Pipeline int
	Reason   string
}

func (Reshape) op() {}
func (Prepare) op() {}
func (Compute) op() {}
func (Halt) op()    {}
func (Clear) op()   {}
func (GiveUp) op()  {}

// ContextLanded says that the node has all of its new context that can be had.
type ContextLanded struct {
	Epoch     event.Epoch
	Bytes     int64 // received from other devices
	DiskBytes int64 // loaded from the model's own place
	// Recovered is how many pieces came from elsewhere than their step said.
	Recovered int
}

// StageUp says that the node's shards of a pipeline can compute.
type StageUp struct {
	Epoch    event.Epoch
	Pipeline int
}

// CacheLanded opens a pipeline: all its shards, on all its nodes, can compute and
// have the cache that they could get. It comes to the leader, of every pipeline of
// Part.Pipelines, also where nothing is resumed.
type CacheLanded struct {
	Epoch    event.Epoch
	Pipeline int
	Cached   []Cached // of the requests of Resume; one that is missing has none
}

// Cached is how many tokens of a request's cache there are, from the first on: the
// least over all shards of the pipeline.
type Cached struct {
	Request event.RequestID
	Tokens  int
}

// Computed answers a Compute.
type Computed struct {
	Epoch    event.Epoch
	Pipeline int
	Group    int
	Step     uint64
	Tokens   []int32 // of the sequences with Sample, in their order
}

// ComputeFailed answers a Compute that came to nothing.
type ComputeFailed struct {
	Epoch    event.Epoch
	Pipeline int
	Group    int
	Step     uint64
	Reason   string
}

// Kind implements event.Body.
func (ContextLanded) Kind() event.Kind { return "context_landed" }

// Kind implements event.Body.
func (StageUp) Kind() event.Kind { return "stage_up" }

// Kind implements event.Body.
func (CacheLanded) Kind() event.Kind { return "cache_landed" }

// Kind implements event.Body.
func (Computed) Kind() event.Kind { return "computed" }

// Kind implements event.Body.
func (ComputeFailed) Kind() event.Kind { return "compute_failed" }

// Tokenizer turns text into tokens and back. It is a pure function of the model,
// so a core that has it asks it directly.
type Tokenizer interface {
	// Encode returns the tokens of a prompt, the beginning-of-text token included
	// where the model has one.
	Encode(text string) ([]int32, error)
	// Decode returns the text of an answer.
	Decode(tokens []int32) string
}
