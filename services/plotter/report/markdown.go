package report

import (
	"fmt"
	"io"
	"strings"
)

// Markdown writes the report. Its figures are links to files in a folder,
// relative to where the report is put, under their names as SVG.
func (r *Report) Markdown(w io.Writer, folder string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n", r.Title)
	for _, p := range r.Intro {
		fmt.Fprintf(&b, "%s\n\n", p)
	}
	for _, s := range r.Sections {
		fmt.Fprintf(&b, "## %s\n\n", s.Title)
		for _, n := range s.Notes {
			fmt.Fprintf(&b, "%s\n\n", n)
		}
		for _, f := range s.Figures {
			fmt.Fprintf(&b, "![%s](%s/%s.svg)\n\n", s.Title, folder, f.Name)
		}
		for _, t := range s.Tables {
			t.markdown(&b)
		}
	}
	if len(r.Settings.Rows) > 0 {
		b.WriteString("## Settings\n\n")
		r.Settings.markdown(&b)
	}
	if len(r.Missing) > 0 {
		fmt.Fprintf(&b, "## Missing\n\nThe store has no finished run of these:\n\n%s\n", indented(r.Missing))
	}
	fmt.Fprintf(&b, "## What is not modelled\n\nWhat the model leaves out, and how far to believe it, is in [docs/fidelity.md](%s).\n\n", Fidelity)
	fmt.Fprintf(&b, "## How to make this again\n\n%s\n", indented(r.Commands))
	_, err := io.WriteString(w, b.String())
	return err
}

func indented(lines []string) string {
	var b strings.Builder
	for _, l := range lines {
		fmt.Fprintf(&b, "    %s\n", l)
	}
	return b.String()
}

// markdownText keeps text from being read as a table's border or as markup.
func markdownText(s string) string {
	return strings.NewReplacer("|", `\|`, "*", `\*`, "_", `\_`, "<", "&lt;", "`", "\\`").Replace(s)
}
