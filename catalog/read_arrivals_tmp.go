package catalog

import "io"

func readArrivals(name string, r io.Reader) (recorded, error) {
	list, err := ReadArrivals(name, r)
	return recorded{list: list}, err
}
