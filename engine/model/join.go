package model

import "fmt"

// Layer is one layer of a model that is not cut: the whole matrices, row-major,
// by role. A matrix that is not in the layer is nil.
type Layer [Head + 1][]float32

// Join puts the blobs of a layer together again: what writers of checkpoints
// need. It is the inverse of Cut, except that a tied head comes back too.
func Join(s Source, layer int) (Layer, error) {
	c := s.Config()
	var out Layer
	for leaf := range c.Leaves {
		id := BlobID{layer, leaf}
		if err := c.checkBlob(id, int(c.BlobBytes(id))); err != nil {
			return Layer{}, err
		}
		blob := make([]byte, c.BlobBytes(id))
		if err := s.ReadBlob(id, blob); err != nil {
			return Layer{}, fmt.Errorf("model %s: %w", c.Name, err)
		}
		for _, t := range c.Tensors(id) {
			rows, cols := c.Shape(t.Role)
			if out[t.Role] == nil {
				out[t.Role] = make([]float32, rows*cols)
			}
			row, col := c.Origin(t.Role, leaf)
			size := t.Cols * t.DType.Bytes()
			for i := range t.Rows {
				to := out[t.Role][(row+i)*cols+col:]
				Decode(to[:t.Cols], blob[t.Offset+int64(i*size):], t.DType)
			}
		}
	}
	return out, nil
}
