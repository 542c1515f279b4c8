package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// isJSON tells the two forms of a control message apart. No control message
// has a field whose tag byte is white space or "{", so none is mistaken.
func isJSON(data []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{"))
}

// readRequest fills m from a message that a user sent, in either form, and
// refuses whatever m has no field for.
func readRequest(data []byte, m proto.Message) error {
	if len(bytes.TrimSpace(data)) == 0 {
		return errors.New("the message is empty")
	}
	if isJSON(data) {
		return readJSON(data, m)
	}
	err := proto.Unmarshal(data, m)
	if err == nil {
		err = refuseUnknown(m.ProtoReflect())
	}
	if err != nil {
		return fmt.Errorf("the message does not start with { as JSON does, and as protobuf: %w", plain(err))
	}
	return nil
}

// readJSON looks through the JSON first, because its own messages name keys
// and what is allowed; protojson then fills m.
func readJSON(data []byte, m proto.Message) error {
	var raw json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
			return fmt.Errorf("not valid JSON at byte %d: %w", syntax.Offset, err)
		}
		return fmt.Errorf("not valid JSON: %w", err)
	}
	numbers := json.NewDecoder(bytes.NewReader(raw))
	numbers.UseNumber()
	var object map[string]any
	if err := numbers.Decode(&object); err != nil {
		return fmt.Errorf("not valid JSON: %w", err)
	}
	if err := checkObject("", object, m.ProtoReflect().Descriptor()); err != nil {
		return err
	}
	if err := protojson.Unmarshal(data, m); err != nil {
		return plain(err)
	}
	return nil
}

// refuseUnknown fails on a field, at any depth, that this build has no name for.
func refuseUnknown(m protoreflect.Message) error {
	if n := firstUnknown(m); n != 0 {
		return fmt.Errorf("field %d of %s is unknown to this build", n, m.Descriptor().FullName())
	}
	var err error
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if f.Message() != nil && !f.IsList() && !f.IsMap() {
			err = refuseUnknown(v.Message())
		}
		return err == nil
	})
	return err
}

// firstUnknown returns the number of a field that m keeps without knowing it,
// 0 if there is none.
func firstUnknown(m protoreflect.Message) protowire.Number {
	if len(m.GetUnknown()) == 0 {
		return 0
	}
	n, _, _ := protowire.ConsumeTag(m.GetUnknown())
	return n
}
