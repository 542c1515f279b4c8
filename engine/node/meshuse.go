package node

import (
	"sync/atomic"

	"github.com/spotserve/spotserve/engine/dataplane"
)

// meshUse is a mesh that closes with the last of the pipelines that use it.
type meshUse struct {
	*dataplane.Mesh
	users atomic.Int64
}

// join opens the mesh of the pipelines that start with a plan.
func (n *Node) join(d duty) (*meshUse, error) {
	pipelines := make(map[int][]dataplane.Peer, len(d.starts))
	for _, s := range d.starts {
		pipelines[s.index] = s.devices
	}
	m, err := n.server.Join(n.Run, d.epoch, pipelines)
	if err != nil {
		return nil, err
	}
	use := &meshUse{Mesh: m}
	use.users.Store(int64(len(d.starts)))
	return use, nil
}

func (m *meshUse) release() {
	if m.users.Add(-1) == 0 {
		m.Close()
	}
}
