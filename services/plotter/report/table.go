package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// Table is text in rows and columns.
type Table struct {
	Title   string
	Columns []Column
	Rows    [][]string // as many cells as columns
}

// Column is the head of a column.
type Column struct {
	Name    string
	Numbers bool // aligned at the right
}

// Text prints the tables of all sections, for a terminal.
func (r *Report) Text(w io.Writer) error {
	var b strings.Builder
	for _, s := range r.Sections {
		fmt.Fprintf(&b, "%s\n\n", s.Title)
		for _, t := range s.Tables {
			t.text(&b)
			b.WriteByte('\n')
		}
		for _, n := range s.Notes {
			fmt.Fprintf(&b, "%s\n", n)
		}
		if len(s.Notes) > 0 {
			b.WriteByte('\n')
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (t Table) text(b *strings.Builder) {
	if t.Title != "" {
		fmt.Fprintf(b, "%s\n", t.Title)
	}
	width := make([]int, len(t.Columns))
	for i, c := range t.Columns {
		width[i] = runes(c.Name)
		for _, row := range t.Rows {
			width[i] = max(width[i], runes(row[i]))
		}
	}
	var names []string
	for _, c := range t.Columns {
		names = append(names, c.Name)
	}
	for _, row := range slices.Insert(slices.Clone(t.Rows), 0, names) {
		var line strings.Builder
		for i, c := range t.Columns {
			pad := strings.Repeat(" ", width[i]-runes(row[i]))
			if c.Numbers {
				line.WriteString(pad + row[i] + "  ")
			} else {
				line.WriteString(row[i] + pad + "  ")
			}
		}
		fmt.Fprintln(b, strings.TrimRight(line.String(), " "))
	}
}

func runes(s string) int { return len([]rune(s)) }

func (t Table) markdown(b *strings.Builder) {
	if t.Title != "" {
		fmt.Fprintf(b, "**%s**\n\n", t.Title)
	}
	b.WriteByte('|')
	for _, c := range t.Columns {
		fmt.Fprintf(b, " %s |", markdownText(c.Name))
	}
	b.WriteString("\n|")
	for _, c := range t.Columns {
		if c.Numbers {
			b.WriteString("---:|")
		} else {
			b.WriteString("---|")
		}
	}
	b.WriteByte('\n')
	for _, row := range t.Rows {
		b.WriteByte('|')
		for _, cell := range row {
			fmt.Fprintf(b, " %s |", markdownText(cell))
		}
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
}
