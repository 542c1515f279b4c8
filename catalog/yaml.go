package catalog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// The library tells lines and unknown keys only inside its messages.
var (
	yamlLine         = regexp.MustCompile(`(?s)^(?:yaml: )?line (\d+): (.*)$`)
	yamlUnknownField = regexp.MustCompile(`(?s)^field (.+) not found in type (\S+)$`)
)

// decodeYAML reads the one document of a file into a pointer to a struct.
// Unknown keys are errors that name the nearest known one.
func decodeYAML(file string, data []byte, into any) error {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	decoder.KnownFields(true)
	if err := decoder.Decode(into); errors.Is(err, io.EOF) {
		return &FileError{File: file, Reason: "the file is empty"}
	} else if err != nil {
		return yamlErrors(file, err, keysByType(reflect.TypeOf(into).Elem()))
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return &FileError{File: file, Reason: "more than one document"}
	}
	return nil
}

func yamlErrors(file string, err error, keys map[string][]string) error {
	typeError, ok := errors.AsType[*yaml.TypeError](err)
	if !ok {
		return yamlError(file, err.Error(), keys)
	}
	var all []error
	for _, message := range typeError.Errors {
		all = append(all, yamlError(file, message, keys))
	}
	return errors.Join(all...)
}

func yamlError(file, message string, keys map[string][]string) error {
	line := 0
	if m := yamlLine.FindStringSubmatch(message); m != nil {
		line, _ = strconv.Atoi(m[1]) // digits by the pattern; 0 if there are too many
		message = m[2]
	}
	if m := yamlUnknownField.FindStringSubmatch(message); m != nil {
		message = unknownKey(m[1], keys[m[2]])
	}
	return &FileError{File: file, Line: line, Reason: message}
}

func unknownKey(key string, known []string) string {
	if near := nearest(key, known); near != "" {
		return fmt.Sprintf("unknown key %q, did you mean %q?", key, near)
	}
	return fmt.Sprintf("unknown key %q, allowed are %s", key, strings.Join(known, ", "))
}

// keysByType returns the YAML keys of t and of all structs inside it, by the
// name of the struct's type.
func keysByType(t reflect.Type) map[string][]string {
	keys := make(map[string][]string)
	var visit func(reflect.Type)
	visit = func(t reflect.Type) {
		switch t.Kind() {
		case reflect.Pointer, reflect.Slice:
			visit(t.Elem())
		case reflect.Struct:
			for _, field := range reflect.VisibleFields(t) {
				key, _, _ := strings.Cut(field.Tag.Get("yaml"), ",")
				keys[t.String()] = append(keys[t.String()], key)
				visit(field.Type)
			}
		}
	}
	visit(t)
	return keys
}
