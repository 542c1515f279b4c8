package report

import (
	"bytes"
	_ "embed" // the template
	"fmt"
	"html/template"
	"io"

	"github.com/spotserve/spotserve/services/plotter"
	"github.com/spotserve/spotserve/services/plotter/figure"
)

//go:embed report.html.tmpl
var htmlTemplate string

// HTML writes the report as one file that needs no other: its figures are in it
// as SVG.
func (r *Report) HTML(w io.Writer) error {
	t, err := template.New("report").Funcs(template.FuncMap{"drawing": inlineSVG, "fidelity": func() string { return Fidelity }}).Parse(htmlTemplate)
	if err != nil {
		return fmt.Errorf("report as HTML: %w", err)
	}
	var buf bytes.Buffer // nothing is written of a report that fails
	if err := t.Execute(&buf, r); err != nil {
		return fmt.Errorf("report as HTML: %w", err)
	}
	_, err = buf.WriteTo(w)
	return err
}

// inlineSVG draws a figure as an element of an HTML document, which has no place
// for an XML declaration.
func inlineSVG(f plotter.Figure) (template.HTML, error) {
	var buf bytes.Buffer
	if err := f.Write(&buf, figure.SVG); err != nil {
		return "", err
	}
	svg := buf.Bytes()
	if i := bytes.Index(svg, []byte("<svg")); i > 0 {
		svg = svg[i:]
	}
	return template.HTML(svg), nil
}
