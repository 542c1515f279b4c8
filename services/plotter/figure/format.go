package figure

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Format is a file format; its text is the extension of its files.
type Format string

// The file formats.
const (
	PNG Format = "png"
	SVG Format = "svg"
	PDF Format = "pdf"
)

// ParseFormat returns the format with this name, or an error that says which
// there are.
func ParseFormat(name string) (Format, error) {
	switch f := Format(strings.ToLower(name)); f {
	case PNG, SVG, PDF:
		return f, nil
	}
	return "", fmt.Errorf("figure format %q: allowed are png, svg and pdf", name)
}

// FormatOf returns the format that the extension of a path names.
func FormatOf(path string) (Format, error) {
	f, err := ParseFormat(strings.TrimPrefix(filepath.Ext(path), "."))
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

// render draws a page in a format.
func render(w io.Writer, f Format, p page) error {
	l := p.layout()
	width, height := p.width, l.height()
	switch f {
	case PNG:
		c := vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(pngDPI))
		l.draw(draw.New(c))
		return writePNG(w, c.Image())
	case SVG:
		c := vgsvg.New(width, height)
		l.draw(draw.New(c))
		return writeSVG(w, c)
	case PDF:
		c := newPDF(width, height)
		l.draw(draw.New(c))
		_, err := c.WriteTo(w)
		return err
	default:
		_, err := ParseFormat(string(f))
		return err
	}
}

// writeSVG names fonts of the same widths for readers that lack ours.
func writeSVG(w io.Writer, c vg.CanvasWriterTo) error {
	var buf bytes.Buffer
	if _, err := c.WriteTo(&buf); err != nil {
		return err
	}
	_, err := w.Write(bytes.ReplaceAll(buf.Bytes(),
		[]byte("font-family:Liberation Sans;"),
		[]byte("font-family:'Liberation Sans',Arial,Helvetica,sans-serif;")))
	return err
}

// save writes a file beside its final place and renames it.
func save(path string, write func(io.Writer, Format) error) (err error) {
	f, err := FormatOf(path)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("figures folder: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("save figure: %w", err)
	}
	defer func() {
		if err != nil {
			_ = tmp.Close()
			_ = os.Remove(tmp.Name())
			err = fmt.Errorf("save figure %s: %w", path, err)
		}
	}()
	if err := write(tmp, f); err != nil {
		return err
	}
	if err := tmp.Chmod(0o644); err != nil {
		return err
	}
	if err := tmp.Close(); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}
