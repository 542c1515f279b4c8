package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

func (l *loader) fromFile(path string) {
	if path == "" {
		return
	}
	keys, err := parseFile(path)
	if err != nil {
		at := Source{Kind: File, Name: path}
		if in, ok := errors.AsType[lineError](err); ok {
			at.Line, err = in.line, in.err
		}
		l.fail(at, err)
		return
	}
	seen := map[string]int{}
	for _, k := range keys {
		at := Source{Kind: File, Name: path, Line: k.line}
		f := l.fs.Lookup(k.name)
		first, twice := seen[k.name]
		seen[k.name] = k.line
		switch {
		case twice:
			l.fail(at, fmt.Errorf("key %q is there twice, first in line %d", k.name, first))
		case slices.Contains(l.opts.OtherKeys, k.name):
			continue
		case f == nil || k.name == FileFlag || k.name == "help" || k.name == "version":
			l.fail(at, l.unknown(k.name))
		case !l.fixed(k.name):
			l.set(f, at, func() error { return setNode(l.fs, f, k.value) })
		}
	}
}

// key is one entry of the file.
type key struct {
	name  string
	line  int
	value *yaml.Node
}

// parseFile reads the keys in the order of the file. An empty file has none.
func parseFile(path string) ([]key, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		if path, ok := errors.AsType[*os.PathError](err); ok {
			err = path.Err
		}
		return nil, fmt.Errorf("cannot read the config file: %w", err)
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, syntaxError(err)
	}
	if err := dec.Decode(&more); err == nil {
		return nil, lineError{more.Line, errors.New("a second document; one is allowed")}
	} else if !errors.Is(err, io.EOF) {
		return nil, syntaxError(err)
	}
	root := doc.Content[0]
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" {
		return nil, nil
	}
	if root.Kind != yaml.MappingNode {
		return nil, lineError{root.Line, fmt.Errorf("want keys and values, got %s", describe(root))}
	}
	var keys []key
	for pair := range slices.Chunk(root.Content, 2) {
		keys = append(keys, key{name: pair[0].Value, line: pair[0].Line, value: pair[1]})
	}
	return keys, nil
}

// lineError is an error with its line in the file.
type lineError struct {
	line int
	err  error
}

func (e lineError) Error() string { return fmt.Sprintf("line %d: %v", e.line, e.err) }
func (e lineError) Unwrap() error { return e.err }

// syntaxError keeps the YAML library's line in the text: it can be the one
// before the mistake.
func syntaxError(err error) error {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	if strings.HasPrefix(text, "line ") {
		text = "near " + text
	}
	return fmt.Errorf("not YAML: %s", text)
}

// unknown names the nearest flag that the file may set.
func (l *loader) unknown(name string) error {
	var allowed []string
	l.fs.VisitAll(func(f *pflag.Flag) {
		if f.Name != FileFlag && f.Name != "help" && f.Name != "version" {
			allowed = append(allowed, f.Name)
		}
	})
	if len(allowed) == 0 {
		return fmt.Errorf("unknown key %q; no key is allowed", name)
	}
	slices.Sort(allowed)
	nearest := slices.MinFunc(allowed, func(a, b string) int {
		return levenshtein.ComputeDistance(a, name) - levenshtein.ComputeDistance(b, name)
	})
	return fmt.Errorf("unknown key %q; the nearest is %q; allowed: %s", name, nearest, strings.Join(allowed, ", "))
}

// setNode sets the flag to the value of a key, if the YAML type is the flag's.
func setNode(fs *pflag.FlagSet, f *pflag.Flag, n *yaml.Node) error {
	n = resolve(n)
	if slice, ok := f.Value.(pflag.SliceValue); ok && n.Kind == yaml.SequenceNode {
		values := make([]string, len(n.Content))
		for i, item := range n.Content {
			if item = resolve(item); item.Kind != yaml.ScalarNode || item.Tag == "!!null" {
				return fmt.Errorf("a list with %s in it (line %d)", describe(item), item.Line)
			}
			values[i] = item.Value
		}
		if err := slice.Replace(values); err != nil {
			return fmt.Errorf("%q: %w", values, err)
		}
		f.Changed = true
		return nil
	}
	if !fits(f, n) {
		return errors.New(describe(n))
	}
	return fs.Set(f.Name, n.Value)
}

// fits reports whether the scalar n has the type of the flag. Text takes any
// scalar, as in YAML a name that looks like a number needs no quotes.
func fits(f *pflag.Flag, n *yaml.Node) bool {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		return false
	}
	switch t := typeName(f); t {
	case "bool":
		return n.Tag == "!!bool"
	case "whole number":
		return n.Tag == "!!int"
	case "number":
		return n.Tag == "!!int" || n.Tag == "!!float"
	default:
		return true
	}
}

func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// describe names what a node holds, for errors.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a map"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.Tag {
	case "!!null":
		return "nothing"
	case "!!str":
		return fmt.Sprintf("the text %q", n.Value)
	case "!!int":
		return "the whole number " + n.Value
	case "!!float":
		return "the number " + n.Value
	case "!!bool":
		return "the bool " + n.Value
	default:
		return fmt.Sprintf("%s %q", strings.TrimPrefix(n.Tag, "!!"), n.Value)
	}
}
