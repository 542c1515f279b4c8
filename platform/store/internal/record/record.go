// Package record maps the fields of a row struct to SQL columns.
//
// A column is named like its field in snake case: ArrivedMS is arrived_ms,
// USDPerToken is usd_per_token. A column holds an int64, a float64 or a string,
// or nil where the field is a pointer: integers of any kind are stored as
// int64, unsigned ones by their two's complement, and bools as 0 and 1, so that
// every store shows the same values.
package record

import (
	"fmt"
	"reflect"
	"strings"
	"unicode"
)

// Columns returns the column names of the struct type t in field order.
func Columns(t reflect.Type) []string {
	names := make([]string, t.NumField())
	for i := range names {
		names[i] = Snake(t.Field(i).Name)
	}
	return names
}

// Append adds the column values of the struct v to dst in field order.
func Append(dst []any, v reflect.Value) []any {
	for _, f := range v.Fields() {
		dst = append(dst, value(f))
	}
	return dst
}

func value(f reflect.Value) any {
	switch f.Kind() {
	case reflect.Pointer:
		if f.IsNil() {
			return nil
		}
		return value(f.Elem())
	case reflect.Bool:
		if f.Bool() {
			return int64(1)
		}
		return int64(0)
	case reflect.Uint64:
		return int64(f.Uint())
	case reflect.Int, reflect.Int64:
		return f.Int()
	case reflect.Float64:
		return f.Float()
	case reflect.String:
		return f.String()
	}
	// Row structs have no other fields; a driver refuses what it does not know.
	return f.Interface()
}

// Set stores the column value v in the field f. NULL makes a pointer nil and
// anything else zero. A value of another type is an error.
func Set(f reflect.Value, v any) error {
	if f.Kind() == reflect.Pointer {
		if v == nil {
			f.SetZero()
			return nil
		}
		f.Set(reflect.New(f.Type().Elem()))
		return Set(f.Elem(), v)
	}
	switch x := v.(type) {
	case nil:
		f.SetZero()
		return nil
	case string:
		if f.Kind() == reflect.String {
			f.SetString(x)
			return nil
		}
	case int64:
		if setInt(f, x) {
			return nil
		}
	case float64:
		if f.Kind() == reflect.Float64 {
			f.SetFloat(x)
			return nil
		}
	}
	return fmt.Errorf("a value of type %T does not fit a field of type %s", v, f.Type())
}

// exactFloat bounds the integers that a float64 holds without rounding.
const exactFloat = 1 << 53

func setInt(f reflect.Value, x int64) bool {
	switch f.Kind() {
	case reflect.Bool:
		f.SetBool(x != 0)
	case reflect.Int, reflect.Int64:
		if f.OverflowInt(x) {
			return false
		}
		f.SetInt(x)
	case reflect.Uint64:
		f.SetUint(uint64(x))
	case reflect.Float64:
		// A whole number may come back as an integer, from an expression.
		if x > exactFloat || x < -exactFloat {
			return false
		}
		f.SetFloat(float64(x))
	default:
		return false
	}
	return true
}

// Snake returns a Go name in snake case. Capitals in a row are one word, and so
// is their plural: GPUs is gpus.
func Snake(name string) string {
	var b strings.Builder
	runes := []rune(name)
	for i, r := range runes {
		if i > 0 && unicode.IsUpper(r) && startsWord(runes, i) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

func startsWord(name []rune, i int) bool {
	if !unicode.IsUpper(name[i-1]) {
		return true
	}
	rest := string(name[i+1:])
	return rest != "" && rest != "s" && unicode.IsLower(name[i+1])
}
