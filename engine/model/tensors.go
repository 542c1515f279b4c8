package model

// Tensors are what a checkpoint has for the matrices of a model.
type Tensors[T any] struct {
	whole  [Head + 1]T
	layers [][Head + 1]T
}

// FindTensors asks get for the tensor of every matrix of a model, by role and
// then by layer (0 where the role is the whole model's), up to the first error.
// A head that is tied to the embedding has none.
func FindTensors[T any](c Config, get func(role Role, layer int) (T, error)) (Tensors[T], error) {
	t := Tensors[T]{layers: make([][Head + 1]T, c.Layers)}
	var err error
	for role := Embedding; role <= Head; role++ {
		if role == Head && c.TiedHead {
			continue
		}
		if role.Whole() {
			if t.whole[role], err = get(role, 0); err != nil {
				return t, err
			}
			continue
		}
		for layer := range t.layers {
			if t.layers[layer][role], err = get(role, layer); err != nil {
				return t, err
			}
		}
	}
	return t, nil
}

// Of is the tensor of a role, in the layer unless it is the whole model's.
func (t *Tensors[T]) Of(role Role, layer int) T {
	if role.Whole() {
		return t.whole[role]
	}
	return t.layers[layer][role]
}
