package catalog

import (
	"reflect"

	"go.yaml.in/yaml/v3"
)

// seedList is the seeds of a file: a list, or the last of 1, 2, 3, ...
type seedList []uint64

func (s *seedList) readNode(d *document, path string, n *yaml.Node) {
	if n.Kind == yaml.SequenceNode {
		var list []uint64
		d.read(path, n, reflect.ValueOf(&list).Elem())
		*s = list
		if len(list) == 0 {
			d.fail(n, "%s is empty", path)
		}
		return
	}
	var last uint64
	d.read(path, n, reflect.ValueOf(&last).Elem())
	if len(d.errs) > 0 {
		return
	}
	if last < 1 || last > maxRuns {
		d.fail(n, "%s is %d, allowed is 1 (seed 1 alone) to %d", path, last, maxRuns)
		return
	}
	for seed := range last {
		*s = append(*s, seed+1)
	}
}
