package catalog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// jsonField is one key of a JSON object.
type jsonField struct {
	key    string
	value  json.RawMessage
	offset int // of value in the object's text
}

// decodeJSON reads one JSON value of type T and nothing after it. Unlike
// encoding/json it refuses null.
func decodeJSON[T any](raw []byte) (T, error) {
	var out T
	if bytes.Equal(bytes.TrimSpace(raw), []byte("null")) {
		return out, errors.New("it is null")
	}
	err := json.Unmarshal(raw, &out)
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return out, fmt.Errorf("it is a %s", wrong.Value)
	}
	return out, err
}

// jsonObject returns the fields of an object in their order. Unlike
// encoding/json it refuses keys that occur twice.
func jsonObject(raw []byte) ([]jsonField, error) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	if open, err := decoder.Token(); err != nil {
		return nil, err
	} else if open != json.Delim('{') {
		return nil, errors.New("it is not an object")
	}
	var fields []jsonField
	seen := make(map[string]bool)
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return nil, err
		}
		field := jsonField{key: token.(string)} // the decoder lets only strings be keys
		if seen[field.key] {
			return nil, fmt.Errorf("key %q occurs twice", field.key)
		}
		seen[field.key] = true
		if err := decoder.Decode(&field.value); err != nil {
			return nil, err
		}
		field.offset = int(decoder.InputOffset()) - len(field.value)
		fields = append(fields, field)
	}
	if _, err := decoder.Token(); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the object")
	}
	return fields, nil
}
