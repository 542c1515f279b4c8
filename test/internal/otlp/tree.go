package otlp

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Tree is the spans of one trace, each below its parent, in the order of their
// starts.
type Tree struct {
	Span
	Children []*Tree
}

// Trees puts the spans of one trace together. A span that came more than once counts
// once. Spans whose parent did not come stand beside the first one.
func Trees(all []Span, trace string) (roots []*Tree) {
	byID := make(map[string]*Tree)
	for _, s := range all {
		if s.Trace == trace && byID[s.ID] == nil {
			byID[s.ID] = &Tree{Span: s}
		}
	}
	for _, t := range byID {
		if parent := byID[t.Parent]; parent != nil {
			parent.Children = append(parent.Children, t)
		} else {
			roots = append(roots, t)
		}
	}
	sortTrees(roots)
	for _, t := range byID {
		sortTrees(t.Children)
	}
	return roots
}

func sortTrees(list []*Tree) {
	slices.SortFunc(list, func(a, b *Tree) int {
		return cmp.Or(a.Start.Compare(b.Start), a.End.Compare(b.End), cmp.Compare(a.ID, b.ID))
	})
}

// Whole returns the tree of every trace. It fails where a trace is not one tree that
// belongs to nothing else, and where a span begins before what it belongs to.
func Whole(all []Span) (map[string]*Tree, error) {
	traces := make(map[string][]Span)
	for _, s := range all {
		traces[s.Trace] = append(traces[s.Trace], s)
	}
	out := make(map[string]*Tree, len(traces))
	var wrong error
	for trace, spans := range traces {
		roots := Trees(spans, trace)
		if len(roots) != 1 || roots[0].Parent != "" {
			var drawn strings.Builder
			for _, r := range roots {
				drawn.WriteString(r.String("run", "request", "epoch", "outcome"))
			}
			wrong = fmt.Errorf("trace %s is not one tree:\n%s", trace, &drawn)
			continue
		}
		roots[0].Walk(func(n *Tree) {
			for _, c := range n.Children {
				if c.Start.Before(n.Start) || c.End.Before(c.Start) {
					wrong = fmt.Errorf("%s %s begins at %s, before its parent %s at %s", c.Name, c.ID, c.Start, n.Name, n.Start)
				}
			}
		})
		out[trace] = roots[0]
	}
	return out, wrong
}

// Names lists the names below t, "request(publish queued compute(prefill decode))"
// for example.
func (t *Tree) Names() string {
	if len(t.Children) == 0 {
		return t.Name
	}
	below := make([]string, len(t.Children))
	for i, c := range t.Children {
		below[i] = c.Names()
	}
	return t.Name + "(" + strings.Join(below, " ") + ")"
}

// Walk calls visit for t and all below it.
func (t *Tree) Walk(visit func(*Tree)) {
	visit(t)
	for _, c := range t.Children {
		c.Walk(visit)
	}
}

// String draws the tree: each span with its service, when it began after the first
// one, how long it took, and the attributes that are asked for.
func (t *Tree) String(keys ...string) string {
	var b strings.Builder
	t.draw(&b, t.Start, "", "", keys)
	return b.String()
}

func (t *Tree) draw(b *strings.Builder, zero time.Time, first, rest string, keys []string) {
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	fmt.Fprintf(b, "%-34s %-14s %9.1f %9.1f ", first+t.Name, t.Service, ms(t.Start.Sub(zero)), ms(t.End.Sub(t.Start)))
	for _, k := range keys {
		if v := t.Attributes[k]; v != "" {
			fmt.Fprintf(b, " %s=%s", k, v)
		}
	}
	if t.Error != "" {
		fmt.Fprintf(b, " error=%q", t.Error)
	}
	b.WriteString("\n")
	for i, c := range t.Children {
		if i == len(t.Children)-1 {
			c.draw(b, zero, rest+"└── ", rest+"    ", keys)
		} else {
			c.draw(b, zero, rest+"├── ", rest+"│   ", keys)
		}
	}
}
