// Package assign maps devices to positions of a configuration: the device
// mapper of the paper's section 3.3.
package assign

import (
	"slices"

	"github.com/spotserve/spotserve/core/migrate"
	"github.com/spotserve/spotserve/core/topology"
)

// DeviceMapper gives every position of a configuration a device. It returns
// placements in position order, and nil if there are too few devices.
type DeviceMapper interface {
	Map(c topology.ParallelConfig, devices []topology.Device, held *migrate.Holdings) []topology.Placement
}

// RankOrder fills positions in (d, p, m) order with devices by id. Devices that
// work already stay in use before idle ones join, but they may move.
type RankOrder struct{}

// Map implements DeviceMapper.
func (RankOrder) Map(c topology.ParallelConfig, devices []topology.Device, held *migrate.Holdings) []topology.Placement {
	n := c.Devices()
	if n == 0 || n > len(devices) {
		return nil
	}
	order := slices.Clone(devices)
	slices.SortFunc(order, func(a, b topology.Device) int {
		if wa, wb := held.Works(a), held.Works(b); wa != wb {
			if wa {
				return -1
			}
			return 1
		}
		return a.Compare(b)
	})
	chosen := order[:n]
	slices.SortFunc(chosen, topology.Device.Compare)
	out := make([]topology.Placement, n)
	for rank, d := range chosen {
		out[rank] = topology.Placement{Device: d, Position: topology.PositionOf(c, rank)}
	}
	return out
}
