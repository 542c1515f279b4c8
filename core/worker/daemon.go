package worker

import (
	"time"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/topology"
)

// ContextDaemon knows what context a node's GPUs keep. It lives as long as the
// instance, so a restart of the inference engine loses nothing (paper section
// 5).
type ContextDaemon struct {
	epoch    event.Epoch
	placed   []topology.Placement
	received int64
	loaded   int64
	complete time.Duration
}

// Apply replaces what the daemon keeps by the node's part of a new
// configuration.
func (d *ContextDaemon) Apply(b event.ApplyMigration) {
	d.epoch, d.placed = b.Epoch, b.Placements
	d.received, d.loaded, d.complete = 0, 0, 0
	for _, s := range b.Steps {
		if !d.here(s.To) {
			continue
		}
		d.complete = max(d.complete, s.After)
		if s.FromDisk() {
			d.loaded += s.Bytes
		} else {
			d.received += s.Bytes
		}
	}
}

func (d *ContextDaemon) here(to topology.Device) bool {
	return len(d.placed) > 0 && d.placed[0].Device.Node == to.Node
}

// Complete is when, after the plan's begin, the last piece is there.
func (d *ContextDaemon) Complete() time.Duration { return d.complete }

// Received is how many bytes came from other devices for the present
// configuration.
func (d *ContextDaemon) Received() int64 { return d.received }

// Loaded is how many bytes came from disk for the present configuration.
func (d *ContextDaemon) Loaded() int64 { return d.loaded }

// Placements are the positions that the node's devices fill.
func (d *ContextDaemon) Placements() []topology.Placement { return d.placed }
