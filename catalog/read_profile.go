package catalog

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spotserve/spotserve/core/cost"
)

// MeasuredProfile is a latency profile with the model's dimensions that its
// file states.
type MeasuredProfile struct {
	cost.Profile     // its GPU is empty: the format does not say
	Layers       int // transformer layers
	PaddedLayers int // the count that says which pipeline depths divide the model
	Hidden       int // 0 if the file does not say
}

// artifactPromptTokens is the prompt length that the artifact profiled at; its
// files do not repeat it.
const artifactPromptTokens = 512

// maxProfileFile bounds what is read into memory; the published files have 3 kB.
const maxProfileFile = 4 << 20

// ReadProfile reads a latency profile in the artifact's JSON format: times in
// milliseconds under tp-M / bsz-B / {init, incr}. A file without
// padded_layer_num or max_tp is taken to mean layer_num and the highest
// measured tp. Everything else that is missing or not positive is refused by a
// FileError.
func ReadProfile(name string, r io.Reader) (MeasuredProfile, error) {
	p, err := readProfile(name, r)
	if err != nil {
		return MeasuredProfile{}, err
	}
	return MeasuredProfile{Profile: p.profile(), Layers: p.Layers, PaddedLayers: p.PaddedLayers, Hidden: p.Hidden}, nil
}

func readProfile(name string, r io.Reader) (profileFile, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxProfileFile+1))
	if err != nil {
		return profileFile{}, fmt.Errorf("%s: %w", name, err)
	}
	if len(data) > maxProfileFile {
		return profileFile{}, &FileError{File: name, Reason: fmt.Sprintf("the file is longer than %d bytes", maxProfileFile)}
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return profileFile{}, &FileError{File: name, Reason: "the file is empty"}
	}
	reader := profileReader{name: name, data: data}
	p, err := reader.read()
	if err != nil {
		return profileFile{}, err
	}
	return p, p.check(name)
}

// profileReader walks a profile's text and knows where each value stands.
type profileReader struct {
	name string
	data []byte
}

// profileKey is a key of the file other than the tp-M ones.
type profileKey struct {
	name     string
	read     func(raw []byte) error
	optional bool
}

func (r profileReader) read() (profileFile, error) {
	p := profileFile{Source: r.name, PromptTokens: artifactPromptTokens}
	keys := []profileKey{
		{name: "name", read: value(&p.Name)},
		{name: "layer_num", read: positive(&p.Layers)},
		{name: "padded_layer_num", read: positive(&p.PaddedLayers), optional: true},
		{name: "hidden_size", read: positive(&p.Hidden), optional: true},
		{name: "max_tp", read: positive(&p.MaxTensor), optional: true},
		{name: "final_fix_factor", read: positive(&p.FixFactor)},
		{name: "pp_init_comm", read: positive(&p.PrefillCommMS)},
		{name: "pp_incr_comm", read: positive(&p.DecodeCommMS)},
		{name: "embed", read: value(&p.EmbedMS)},
	}
	rest, err := r.fields(r.data, 0, keys)
	if err != nil {
		return p, err
	}
	for _, field := range rest {
		if !strings.HasPrefix(field.key, "tp-") {
			return p, r.fail(field, errors.New(unknownKey(field.key, names(keys))))
		}
		t, err := r.tensor(field)
		if err != nil {
			return p, err
		}
		p.Tensors = append(p.Tensors, t)
	}
	slices.SortFunc(p.Tensors, func(a, b profileTensor) int { return cmp.Compare(a.Tensor, b.Tensor) })
	if p.PaddedLayers == 0 {
		p.PaddedLayers = p.Layers
	}
	if p.MaxTensor == 0 && len(p.Tensors) > 0 {
		p.MaxTensor = p.Tensors[len(p.Tensors)-1].Tensor
	}
	return p, nil
}

// tensor reads one tp-M object.
func (r profileReader) tensor(field jsonField) (profileTensor, error) {
	degree, err := suffix(field.key, "tp-")
	if err != nil {
		return profileTensor{}, r.fail(field, err)
	}
	t := profileTensor{Tensor: degree}
	batches, err := r.fields(field.value, field.offset, nil)
	if err != nil {
		return t, err
	}
	for _, b := range batches {
		batch, err := suffix(b.key, "bsz-")
		if err != nil {
			return t, r.fail(b, err)
		}
		row := profileRow{Batch: batch}
		keys := []profileKey{
			{name: "init", read: positive(&row.PrefillMS)},
			{name: "incr", read: positive(&row.DecodeMS)},
		}
		rest, err := r.fields(b.value, b.offset, keys)
		if err != nil {
			return t, err
		}
		if len(rest) > 0 {
			return t, r.fail(rest[0], errors.New(unknownKey(rest[0].key, names(keys))))
		}
		t.Rows = append(t.Rows, row)
	}
	slices.SortFunc(t.Rows, func(a, b profileRow) int { return cmp.Compare(a.Batch, b.Batch) })
	return t, nil
}

// fields reads the keys of the object that stands at offset of the file, and
// returns the fields that are none of them.
func (r profileReader) fields(raw []byte, offset int, keys []profileKey) (rest []jsonField, err error) {
	fields, err := jsonObject(raw)
	if err != nil {
		if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
			offset += int(syntax.Offset)
		}
		return nil, r.fail(jsonField{offset: offset}, err)
	}
	read := make(map[string]bool)
	for _, field := range fields {
		field.offset += offset
		i := slices.IndexFunc(keys, func(k profileKey) bool { return k.name == field.key })
		if i < 0 {
			rest = append(rest, field)
			continue
		}
		read[field.key] = true
		if err := keys[i].read(field.value); err != nil {
			return nil, r.fail(field, fmt.Errorf("%s: %w", field.key, err))
		}
	}
	for _, k := range keys {
		if !k.optional && !read[k.name] {
			return nil, r.fail(jsonField{offset: offset}, fmt.Errorf("%s is missing", k.name))
		}
	}
	return rest, nil
}

// fail points an error at the line of a field.
func (r profileReader) fail(field jsonField, err error) error {
	before := r.data[:min(field.offset, len(r.data))]
	return &FileError{File: r.name, Line: 1 + bytes.Count(before, []byte("\n")), Reason: err.Error()}
}

func names(keys []profileKey) []string {
	var out []string
	for _, k := range keys {
		out = append(out, k.name)
	}
	return out
}

// value returns a function that reads one JSON value.
func value[T any](into *T) func([]byte) error {
	return func(raw []byte) (err error) {
		*into, err = decodeJSON[T](raw)
		return err
	}
}

// positive returns a function that reads one positive number.
func positive[T int | float64](into *T) func([]byte) error {
	return func(raw []byte) (err error) {
		if *into, err = decodeJSON[T](raw); err == nil && *into <= 0 {
			err = fmt.Errorf("it is %v, it must be positive", *into)
		}
		return err
	}
}

// suffix returns the number behind prefix in a key such as tp-4.
func suffix(key, prefix string) (int, error) {
	digits, ok := strings.CutPrefix(key, prefix)
	n, err := strconv.Atoi(digits)
	if !ok || err != nil || n < 1 || strconv.Itoa(n) != digits {
		return 0, fmt.Errorf("unknown key %q, want %sN", key, prefix)
	}
	return n, nil
}
