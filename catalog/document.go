package catalog

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxNodes bounds the values of a document, counting those that aliases repeat:
// a few lines of aliases of aliases stand for billions.
const maxNodes = 1 << 18

// maxMerges bounds the depth of merge keys: an alias may stand for a mapping
// around it.
const maxMerges = 10

// document is one YAML document on its way into structs. Everything is strict:
// unknown and repeated keys, values of another type and empty values are errors,
// all of them collected, each with its line.
type document struct {
	file string
	// lines holds where each key stands, by its dotted path; a key that is not
	// there was left out.
	lines   map[string]int
	left    int                 // values that may still be read
	merging int                 // mappings that are being merged into each other
	open    map[*yaml.Node]bool // nodes that are being copied
	folder  string              // of the paths in the file; empty: they have to be absolute
	errs    []error
}

func newDocument(file string) *document {
	return &document{file: file, lines: make(map[string]int), open: make(map[*yaml.Node]bool), left: maxNodes}
}

// decodeYAML reads the one document of a file into a pointer to a struct.
func decodeYAML(file string, data []byte, into any) error {
	root, err := parseYAML(file, data)
	if err != nil {
		return err
	}
	d := newDocument(file)
	d.read("", root, reflect.ValueOf(into).Elem())
	return errors.Join(d.errs...)
}

// yamlLine finds the line in the library's messages: it is told only there.
var yamlLine = regexp.MustCompile(`(?s)^(?:yaml: )?line (\d+): (.*)$`)

// parseYAML returns the one document of a file.
func parseYAML(file string, data []byte) (*yaml.Node, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var root yaml.Node
	if err := decoder.Decode(&root); errors.Is(err, io.EOF) {
		return nil, &FileError{File: file, Reason: "the file is empty"}
	} else if err != nil {
		return nil, yamlError(file, err)
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, &FileError{File: file, Reason: "more than one document"}
	}
	return root.Content[0], nil
}

func yamlError(file string, err error) error {
	line, message := 0, strings.TrimPrefix(err.Error(), "yaml: ")
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
		line, _ = strconv.Atoi(m[1]) // digits by the pattern; 0 if there are too many
		message = m[2]
	}
	return &FileError{File: file, Line: line, Reason: message}
}

// nodeReader is a value that reads itself: one of several forms.
type nodeReader interface {
	readNode(d *document, path string, n *yaml.Node)
}

// fail notes an error at a node.
func (d *document) fail(n *yaml.Node, format string, args ...any) {
	d.errs = append(d.errs, &FileError{File: d.file, Line: n.Line, Reason: fmt.Sprintf(format, args...)})
}

// spend counts a value and reports whether there may be more.
func (d *document) spend(n *yaml.Node) bool {
	if d.left--; d.left == 0 {
		d.fail(n, "the file has more than %d values, counting those that aliases repeat", maxNodes)
	}
	return d.left > 0
}

// read decodes n, whose key has the given path, into v.
func (d *document) read(path string, n *yaml.Node, v reflect.Value) {
	if !d.spend(n) {
		return
	}
	n = target(n)
	if n.ShortTag() == "!!null" && n.Kind == yaml.ScalarNode {
		d.fail(n, "%s has no value", cmp.Or(path, "the file"))
		return
	}
	if r, ok := reflect.TypeAssert[nodeReader](v.Addr()); ok {
		r.readNode(d, path, n)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.read(path, n, v.Elem())
	case reflect.Struct:
		d.readStruct(path, n, v)
	case reflect.Slice:
		if d.want(path, n, yaml.SequenceNode, "a list") {
			v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
			for i, item := range n.Content {
				at := fmt.Sprintf("%s[%d]", path, i)
				d.lines[at] = item.Line
				d.read(at, item, v.Index(i))
			}
		}
	default:
		d.readScalar(path, n, v)
	}
}

// readStruct decodes a mapping into a struct by its yaml tags. Keys in other
// are left to the caller.
func (d *document) readStruct(path string, n *yaml.Node, v reflect.Value, other ...string) {
	if !d.want(path, n, yaml.MappingNode, "a mapping of keys") {
		return
	}
	fields, known := yamlFields(v.Type())
	for _, e := range d.entries(path, n) {
		if i, ok := fields[e.key.Value]; ok {
			d.read(e.path, e.value, v.Field(i))
		} else if !slices.Contains(other, e.key.Value) {
			d.fail(e.key, "%s", unknownKey(e.key.Value, append(known, other...)))
		}
	}
}

// entry is a key of a mapping with its value.
type entry struct {
	path       string
	key, value *yaml.Node
}

// entries returns the keys of a mapping in their order; what a merge key (<<)
// brings in comes first and gives way to the mapping's own.
func (d *document) entries(path string, n *yaml.Node) []entry {
	if d.merging++; d.merging > maxMerges {
		d.fail(n, "mappings are merged (<<) more than %d deep", maxMerges)
		return nil
	}
	defer func() { d.merging-- }()
	var merged, own []entry
	seen := make(map[string]int)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if !d.spend(key) {
			return nil
		}
		if key.Kind != yaml.ScalarNode {
			d.fail(key, "a key is %s, want a text", describe(key))
			continue
		}
		if key.ShortTag() == "!!merge" {
			if from := target(value); from.Kind == yaml.MappingNode && value.Kind == yaml.AliasNode {
				merged = append(merged, d.entries(path, from)...)
			} else {
				d.fail(key, "<< merges %s, want an alias of a mapping", describe(value))
			}
			continue
		}
		if first, ok := seen[key.Value]; ok {
			d.fail(key, "key %q is already defined in line %d", key.Value, first)
			continue
		}
		seen[key.Value] = key.Line
		own = append(own, entry{path: join(path, key.Value), key: key, value: value})
	}
	merged = slices.DeleteFunc(merged, func(e entry) bool { return seen[e.key.Value] > 0 })
	all := slices.Concat(merged, own)
	for _, e := range all {
		d.lines[e.path] = e.key.Line
	}
	return all
}

// readScalar decodes a number, a truth value or a text.
func (d *document) readScalar(path string, n *yaml.Node, v reflect.Value) {
	tag, ok := n.ShortTag(), n.Kind == yaml.ScalarNode
	wanted := ""
	switch v.Kind() {
	case reflect.String: // a name may look like a number or a date
		wanted, ok = "a text", ok && tag != "!!binary"
		v.SetString(n.Value)
	case reflect.Bool:
		wanted, ok = "true or false", ok && tag == "!!bool"
	case reflect.Float64:
		wanted, ok = "a number", ok && (tag == "!!int" || tag == "!!float")
	default:
		wanted, ok = "a whole number", ok && tag == "!!int"
	}
	if ok && v.Kind() != reflect.String {
		ok = n.Decode(v.Addr().Interface()) == nil // a number that is too large for its type fails
	}
	if !ok {
		d.fail(n, "%s is %s, want %s", path, describe(n), wanted)
	}
}

// want requires a kind of node.
func (d *document) want(path string, n *yaml.Node, kind yaml.Kind, wanted string) bool {
	if n.Kind != kind {
		d.fail(n, "%s is %s, want %s", cmp.Or(path, "the file"), describe(n), wanted)
	}
	return n.Kind == kind
}

// line is where a key stands, or else the nearest one around it; 0 if there is
// none.
func (d *document) line(path string) int {
	for path != "" {
		if line, ok := d.lines[path]; ok {
			return line
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
	return 0
}

// has reports whether the file gives a key.
func (d *document) has(path string) bool { return d.lines[path] > 0 }

// target is the node that an alias stands for. An alias cannot stand for
// another alias.
func target(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// describe names a node in an answer.
func describe(n *yaml.Node) string {
	switch n = target(n); {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.ShortTag() == "!!str":
		return strconv.Quote(shorten(n.Value))
	case n.ShortTag() == "!!null":
		return "empty"
	}
	return shorten(n.Value)
}

// shorten keeps an answer readable that repeats what stands in a file.
func shorten(text string) string {
	const most = 60
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most]) + "..."
	}
	return text
}

// join appends a key to a dotted path.
func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// yamlFields returns the fields of a struct by their YAML keys, and the keys in
// the struct's order.
func yamlFields(t reflect.Type) (index map[string]int, keys []string) {
	index = make(map[string]int, t.NumField())
	for i := range t.NumField() {
		key, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
		index[key] = i
		keys = append(keys, key)
	}
	return index, keys
}

// unknownKey answers a key that is none of the known ones.
func unknownKey(key string, known []string) string {
	if near := nearest(key, known); near != "" {
		return fmt.Sprintf("unknown key %q, did you mean %q?", key, near)
	}
	return fmt.Sprintf("unknown key %q, allowed are %s", key, strings.Join(known, ", "))
}

// onlyKeys refuses the keys of a mapping that its kind does not use.
func (d *document) onlyKeys(path, kindKey, kind string, used []string) {
	if used == nil {
		return // an unknown kind is its own error
	}
	var keys []string
	for at := range d.lines {
		if key, ok := strings.CutPrefix(at, path+"."); ok && !strings.ContainsAny(key, ".[") && key != kindKey && !slices.Contains(used, key) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	for _, key := range keys {
		at := join(path, key)
		d.errs = append(d.errs, &FileError{
			File: d.file, Line: d.lines[at], Reason: fmt.Sprintf("%s is not used by %s %s, which has %s", at, kindKey, kind, strings.Join(used, ", ")),
		})
	}
}
