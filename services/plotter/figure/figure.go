// Package figure draws the figures of the paper from plain data: it knows
// neither the store nor the bus.
//
// The same data gives the same bytes, in every format.
package figure

import (
	"errors"
	"fmt"
	"io"
	"math"
)

// Drawing is a figure of one of the kinds in this package. Write and Save draw
// it.
type Drawing interface {
	title() string
	// check refuses what cannot be drawn, because the plotting library panics
	// on it.
	check() error
	// page lays out data that check let pass.
	page() (page, error)
}

// Text is what stands around the panels of a figure.
type Text struct {
	Title   string
	Caption []string // parts of the line below the title
	Notes   []string // lines below the panels
}

func (t Text) title() string { return t.Title }

// Write draws a figure.
func Write(w io.Writer, f Format, d Drawing) error {
	err := d.check()
	if err != nil {
		return fmt.Errorf("figure %q: %w", d.title(), err)
	}
	p, err := d.page()
	if err != nil {
		return fmt.Errorf("figure %q: %w", d.title(), err)
	}
	return render(w, f, p)
}

// Save draws a figure into a file, as PNG, SVG or PDF by its extension. The
// file appears whole or not at all; its folder is made if it is not there.
func Save(path string, d Drawing) error {
	return save(path, func(w io.Writer, f Format) error { return Write(w, f, d) })
}

var errNoSeries = errors.New("no series")

// checkNumber refuses what has no place on an axis that begins at 0.
func checkNumber(what, unit string, v float64) error {
	if math.IsNaN(v) || math.IsInf(v, 0) || v < 0 {
		return fmt.Errorf("%s is %g; want a finite number of %s, 0 or more", what, v, unit)
	}
	return nil
}
