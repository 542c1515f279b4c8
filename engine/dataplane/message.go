package dataplane

import "fmt"

// Peer is a device of a node.
type Peer struct {
	Node   string
	Device int
}

func (p Peer) String() string { return fmt.Sprintf("%s:%d", p.Node, p.Device) }

// Step names one pass of a micro-batch through a pipeline. The numbers of a
// (pipeline, group) grow; a pass that is repeated gets a new one.
type Step struct {
	Pipeline int
	Group    int
	Number   uint64
}

func (s Step) String() string {
	return fmt.Sprintf("pipeline %d group %d step %d", s.Pipeline, s.Group, s.Number)
}

// Tag is what a message of a step is for.
type Tag uint8

// The tags.
const (
	// Work is what a device computes next: from the leader to the other ranks of the
	// first stage, and with activations from a rank of a stage to the same rank of the
	// next. Mesh.Accept takes it.
	Work Tag = iota + 1
	// Answer goes back to the leader. Mesh.Recv takes it.
	Answer
	// sum and gather belong to Comm.
	sum
	gather

	lastTag = gather
)

// Message is what a device sent. Head and Rows are the receiver's until Release.
type Message struct {
	From Peer
	Step Step
	Tag  Tag
	Head []byte
	Rows []float32

	buffer *buffer
	number uint32
}

// Release lets the memory of Head and Rows be used again. Releasing is optional,
// and must come once.
func (m *Message) Release() {
	if m.buffer != nil {
		m.buffer.release()
	}
	m.buffer, m.Head, m.Rows = nil, nil, nil
}
