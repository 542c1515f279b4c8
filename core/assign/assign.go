// Package assign maps devices to positions of a configuration: the device
// mapper of the paper's section 3.3.
package assign

import (
	"github.com/spotserve/spotserve/core/migrate"
	"github.com/spotserve/spotserve/core/topology"
)

// Request is a configuration that wants devices.
type Request struct {
	Config  topology.ParallelConfig
	Devices []topology.Device // at hand; not fewer than Config.Devices()
	Held    *migrate.Holdings // what the devices keep already
	// Inherit says which old pipeline's KV cache a new pipeline takes over.
	Inherit []migrate.Inheritance
}

// DeviceMapper gives every position of a configuration a device. It returns
// placements in position order, and nil if there are too few devices.
type DeviceMapper interface {
	Map(r Request) []topology.Placement
}
