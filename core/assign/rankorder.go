package assign

import (
	"slices"

	"github.com/spotserve/spotserve/core/topology"
)

// RankOrder fills positions in (d, p, m) order with devices by id. Devices that
// work already stay in use before idle ones join, but they may move.
type RankOrder struct{}

// Map implements DeviceMapper.
func (RankOrder) Map(r Request) []topology.Placement {
	n := r.Config.Devices()
	if n == 0 || n > len(r.Devices) {
		return nil
	}
	order := slices.Clone(r.Devices)
	slices.SortFunc(order, func(a, b topology.Device) int {
		if wa, wb := r.Held.Works(a), r.Held.Works(b); wa != wb {
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
		out[rank] = topology.Placement{Device: d, Position: topology.PositionOf(r.Config, rank)}
	}
	return out
}
