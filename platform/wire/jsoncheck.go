package wire

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// checkObject holds an object typed by hand against the message it is meant to
// be: known keys, one of each oneof, fitting values. at is the object's own
// key, with those around it; empty for the outermost.
func checkObject(at string, object map[string]any, d protoreflect.MessageDescriptor) error {
	given := map[protoreflect.OneofDescriptor]string{}
	for _, key := range slices.Sorted(maps.Keys(object)) {
		field := fieldOf(d, key)
		if field == nil {
			return unknownKey(at, key, d)
		}
		value := object[key]
		if value == nil {
			continue
		}
		if one := field.ContainingOneof(); one != nil && !one.IsSynthetic() {
			if other, taken := given[one]; taken {
				return fmt.Errorf("%s and %s are both given: give exactly one of %s", other, key, names(one.Fields()))
			}
			given[one] = key
		}
		if err := checkValue(join(at, key), value, field); err != nil {
			return err
		}
	}
	return nil
}

func checkValue(at string, value any, f protoreflect.FieldDescriptor) error {
	var fits bool
	var allowed string
	switch f.Kind() {
	case protoreflect.MessageKind:
		object, ok := value.(map[string]any)
		if ok {
			return checkObject(at, object, f.Message())
		}
		allowed = "an object with " + names(f.Message().Fields())
	case protoreflect.StringKind:
		_, fits = value.(string)
		allowed = "a text in double quotes"
	case protoreflect.BoolKind:
		_, fits = value.(bool)
		allowed = "true or false"
	case protoreflect.DoubleKind:
		v, err := strconv.ParseFloat(digits(value), 64)
		fits = err == nil && finite(v)
		allowed = "a finite number"
	case protoreflect.Int64Kind:
		_, err := strconv.ParseInt(digits(value), 10, 64)
		fits = err == nil
		allowed = "a whole number"
	case protoreflect.Uint64Kind:
		_, err := strconv.ParseUint(digits(value), 10, 64)
		fits = err == nil
		allowed = "a whole number of at least 0"
	default:
		return fmt.Errorf("%s cannot be given in JSON", at)
	}
	if !fits {
		return fmt.Errorf("%s is %s: must be %s", at, describe(value), allowed)
	}
	return nil
}

// digits returns a number as it was typed, bare or in quotes as JSON for
// 64-bit integers often is.
func digits(value any) string {
	switch v := value.(type) {
	case json.Number:
		return v.String()
	case string:
		return v
	}
	return ""
}

func describe(value any) string {
	switch v := value.(type) {
	case json.Number:
		return "the number " + v.String()
	case string:
		return "the text " + strconv.Quote(v)
	case bool:
		return strconv.FormatBool(v)
	case []any:
		return "a list"
	default:
		return "an object"
	}
}

func unknownKey(at, key string, d protoreflect.MessageDescriptor) error {
	where := ""
	if at != "" {
		where = " in " + at
	}
	hint := ""
	if n := nearest(key, d.Fields()); n != "" {
		hint = fmt.Sprintf(" (did you mean %q?)", n)
	}
	return fmt.Errorf("unknown key %q%s%s: allowed are %s", key, where, hint, names(d.Fields()))
}

// fieldOf finds a field by its snake-case or lower camel name.
func fieldOf(d protoreflect.MessageDescriptor, key string) protoreflect.FieldDescriptor {
	if f := d.Fields().ByName(protoreflect.Name(key)); f != nil {
		return f
	}
	return d.Fields().ByJSONName(key)
}

// fields is a message's or a oneof's.
type fields interface {
	Len() int
	Get(i int) protoreflect.FieldDescriptor
}

func names(fs fields) string {
	all := make([]string, fs.Len())
	for i := range all {
		all[i] = string(fs.Get(i).Name())
	}
	return strings.Join(all, ", ")
}

// nearest returns the name that takes the fewest edits from key, and none if
// more than half of it would change.
func nearest(key string, fs fields) string {
	fold := func(s string) string { return strings.ToLower(strings.ReplaceAll(s, "_", "")) }
	best, fewest := "", len(key)/2+1
	for i := range fs.Len() {
		name := string(fs.Get(i).Name())
		if n := edits(fold(key), fold(name)); n < fewest {
			best, fewest = name, n
		}
	}
	return best
}

// edits is the Levenshtein distance of a and b in bytes.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

func join(at, key string) string {
	if at == "" {
		return key
	}
	return at + "." + key
}
