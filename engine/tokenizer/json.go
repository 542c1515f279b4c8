package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
)

// maxFile bounds tokenizer.json, in bytes.
const maxFile = 256 << 20

// ReadJSON reads a tokenizer.json of Hugging Face's tokenizers.
func ReadJSON(path string) (*Tokenizer, error) {
	text, err := readFile(path)
	if err != nil {
		return nil, err
	}
	t, err := ParseJSON(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	err = errors.Join(err, f.Close())
	if err != nil {
		return nil, err
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("%s: is longer than %d bytes", path, maxFile)
	}
	return text, nil
}

type jsonFile struct {
	Added []struct {
		ID      int    `json:"id"`
		Content string `json:"content"`
		Special bool   `json:"special"`
		Single  bool   `json:"single_word"`
		Left    bool   `json:"lstrip"`
		Right   bool   `json:"rstrip"`
	} `json:"added_tokens"`
	Normalizer    *component `json:"normalizer"`
	PreTokenizer  *component `json:"pre_tokenizer"`
	PostProcessor *component `json:"post_processor"`
	Decoder       *component `json:"decoder"`
	Model         struct {
		Type         string          `json:"type"`
		Vocab        json.RawMessage `json:"vocab"`
		Merges       json.RawMessage `json:"merges"`
		ByteFallback bool            `json:"byte_fallback"`
		IgnoreMerges bool            `json:"ignore_merges"`
		UnknownID    *int            `json:"unk_id"`
		Prefix       string          `json:"continuing_subword_prefix"`
		Suffix       string          `json:"end_of_word_suffix"`
	} `json:"model"`
}

// component is a part of the pipeline; which fields count depends on its type.
type component struct {
	Type          string       `json:"type"`
	Normalizers   []*component `json:"normalizers"`
	PreTokenizers []*component `json:"pretokenizers"`
	Processors    []*component `json:"processors"`
	Decoders      []*component `json:"decoders"`
	Pattern       struct {
		String *string `json:"String"`
		Regex  *string `json:"Regex"`
	} `json:"pattern"`
	Content        string  `json:"content"`
	Prepend        string  `json:"prepend"`
	Behavior       string  `json:"behavior"`
	Invert         bool    `json:"invert"`
	AddPrefixSpace *bool   `json:"add_prefix_space"`
	UseRegex       *bool   `json:"use_regex"`
	Individual     bool    `json:"individual_digits"`
	Replacement    string  `json:"replacement"`
	PrependScheme  *string `json:"prepend_scheme"`
	Split          *bool   `json:"split"`
	Single         []struct {
		Special *struct {
			ID string `json:"id"`
		} `json:"SpecialToken"`
		Sequence *struct{} `json:"Sequence"`
	} `json:"single"`
	SpecialTokens map[string]struct {
		IDs []int32 `json:"ids"`
	} `json:"special_tokens"`
}

// parts are a component, or those of a sequence.
func (c *component) parts(of func(*component) []*component) []*component {
	switch {
	case c == nil:
		return nil
	case c.Type != "Sequence":
		return []*component{c}
	}
	return of(c)
}

// ParseJSON reads the text of a tokenizer.json. Pipelines that are not known to be
// computed alike are refused.
func ParseJSON(text []byte) (*Tokenizer, error) {
	var f jsonFile
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, err
	}
	t, err := f.build()
	if err != nil {
		return nil, err
	}
	if err := f.template(t); err != nil {
		return nil, fmt.Errorf("post_processor: %w", err)
	}
	return t, nil
}

func (f *jsonFile) build() (*Tokenizer, error) {
	if f.Model.Prefix != "" || f.Model.Suffix != "" {
		return nil, errors.New("model: continuing_subword_prefix and end_of_word_suffix are not supported")
	}
	switch f.Model.Type {
	case "BPE", "": // older files leave the type out
		return f.bpe()
	case "Unigram":
		return f.unigram()
	}
	return nil, fmt.Errorf("model: type %s; supported are BPE and Unigram", quote(f.Model.Type))
}

func (f *jsonFile) bpe() (*Tokenizer, error) {
	var ids map[string]int
	if err := json.Unmarshal(f.Model.Vocab, &ids); err != nil {
		return nil, fmt.Errorf("model: vocab: %w", err)
	}
	v := &vocabulary{}
	for _, piece := range slices.Sorted(maps.Keys(ids)) {
		if id := ids[piece]; id >= 0 && id < len(v.pieces) && v.kinds[id] != 0 {
			return nil, fmt.Errorf("model: vocab: tokens %s and %s both have id %d", quote(v.pieces[id]), quote(piece), id)
		} else if id > 16*len(ids)+1<<16 {
			return nil, fmt.Errorf("model: vocab: token %s has id %d, of %d tokens", quote(piece), id, len(ids))
		}
		if err := v.put(ids[piece], piece, normal); err != nil {
			return nil, fmt.Errorf("model: vocab: %w", err)
		}
	}
	merges, err := f.merges()
	if err != nil {
		return nil, fmt.Errorf("model: merges: %w", err)
	}
	byteLevel := f.isByteLevel()
	if !byteLevel {
		v.markBytes()
	}
	strips, err := f.addTo(v)
	if err != nil {
		return nil, fmt.Errorf("added_tokens: %w", err)
	}
	var t *Tokenizer
	if byteLevel {
		t, err = f.byteLevel(v, merges)
	} else {
		t, err = f.characterLevel(v, merges)
	}
	if err != nil {
		return nil, err
	}
	t.strip(strips)
	return t, nil
}

// merges are spelled "a b", in newer files ["a", "b"].
func (f *jsonFile) merges() ([][2]string, error) {
	var items []mergeItem
	if err := json.Unmarshal(f.Model.Merges, &items); err != nil {
		return nil, err
	}
	pairs := make([][2]string, len(items))
	for i, item := range items {
		pairs[i] = [2]string(item)
	}
	return pairs, nil
}

type mergeItem [2]string

func (m *mergeItem) UnmarshalJSON(text []byte) error {
	if text[0] != '[' {
		var line string
		err := json.Unmarshal(text, &line)
		if err == nil {
			*m, err = parseMerge(line)
		}
		return err
	}
	var list []string
	if err := json.Unmarshal(text, &list); err != nil {
		return err
	}
	if len(list) != 2 {
		return fmt.Errorf("merge %s has %d tokens, must have 2", quote(string(text)), len(list))
	}
	*m = mergeItem(list)
	return nil
}

// markBytes says which tokens are bytes.
func (v *vocabulary) markBytes() {
	for id, piece := range v.pieces {
		if _, is := byteOf(piece); is {
			v.kinds[id] = byteToken
		}
	}
}

// addTo puts the added tokens into the vocabulary and returns those that take
// white space with them.
func (f *jsonFile) addTo(v *vocabulary) (map[int32]addedToken, error) {
	strips := map[int32]addedToken{}
	most := len(v.pieces) + len(f.Added) + 1<<16
	for _, a := range f.Added {
		switch {
		case a.Content == "":
			return nil, fmt.Errorf("token %d is empty", a.ID)
		case a.Single:
			return nil, fmt.Errorf("token %s: single_word is not supported", quote(a.Content))
		case a.ID > most:
			return nil, fmt.Errorf("token %s has id %d, of %d tokens", quote(a.Content), a.ID, len(v.pieces))
		case a.ID >= 0 && a.ID < len(v.pieces) && v.kinds[a.ID] != 0 && v.pieces[a.ID] != a.Content:
			return nil, fmt.Errorf("tokens %s and %s both have id %d", quote(v.pieces[a.ID]), quote(a.Content), a.ID)
		}
		k := userDefined
		if a.Special {
			k = control
		}
		if err := v.put(a.ID, a.Content, k); err != nil {
			return nil, err
		}
		if a.Left || a.Right {
			strips[int32(a.ID)] = addedToken{left: a.Left, right: a.Right}
		}
	}
	return strips, nil
}

func (t *Tokenizer) strip(strips map[int32]addedToken) {
	for first := range t.added.byFirst {
		for i := range t.added.byFirst[first] {
			a := &t.added.byFirst[first][i]
			a.left, a.right = strips[a.id].left, strips[a.id].right
		}
	}
}

func (f *jsonFile) isByteLevel() bool {
	return slices.ContainsFunc(f.pre(), func(c *component) bool { return c.Type == "ByteLevel" })
}

func (f *jsonFile) pre() []*component {
	return f.PreTokenizer.parts(func(c *component) []*component { return c.PreTokenizers })
}

// byteLevel knows the pipelines Split and ByteLevel, Digits and ByteLevel, and
// ByteLevel alone.
func (f *jsonFile) byteLevel(v *vocabulary, merges [][2]string) (*Tokenizer, error) {
	if f.Normalizer != nil && len(f.Normalizer.parts(func(c *component) []*component { return c.Normalizers })) > 0 {
		return nil, fmt.Errorf("normalizer: %s; supported is none beside ByteLevel", quote(f.Normalizer.Type))
	}
	var split splitter
	prefix := noPrefix
	digits := false
	for _, c := range f.pre() {
		switch {
		case c.Type == "Split" && split == nil && c.Pattern.Regex != nil && !c.Invert && c.Behavior == "Isolated":
			if split = splitters[*c.Pattern.Regex]; split == nil {
				return nil, fmt.Errorf("pre_tokenizer: the expression %s is not one of those that are supported: GPT-2's, Llama 3's and Qwen2's", quote(*c.Pattern.Regex))
			}
		case c.Type == "Digits" && split == nil && c.Individual:
			digits = true
		case c.Type == "ByteLevel":
			if c.AddPrefixSpace != nil && *c.AddPrefixSpace {
				prefix = prefixMissing
			}
			regex := c.UseRegex == nil || *c.UseRegex
			switch {
			case regex && split != nil:
				return nil, errors.New("pre_tokenizer: Split before a ByteLevel with use_regex is not supported")
			case regex:
				split = splitGPT2
			case split == nil:
				split = splitNothing
			}
		default:
			return nil, fmt.Errorf("pre_tokenizer: %s with these settings is not supported beside ByteLevel", quote(c.Type))
		}
	}
	if len(f.pre()) > 1 && prefix != noPrefix {
		return nil, errors.New("pre_tokenizer: add_prefix_space after Split or Digits, which puts a space before every part, is not supported")
	}
	for _, c := range f.Decoder.parts(func(c *component) []*component { return c.Decoders }) {
		if c.Type != "ByteLevel" {
			return nil, fmt.Errorf("decoder: %s; supported is ByteLevel", quote(c.Type))
		}
	}
	t, err := newByteLevel(v, merges, words{split: split, digits: digits, whole: f.Model.IgnoreMerges})
	if err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	t.normalise.prefix = prefix
	return t, nil
}

var splitters = map[string]splitter{
	patternGPT2: splitGPT2, patternLlama3: splitLlama3, patternQwen2: splitQwen2,
}

// characterLevel is how SentencePiece models are kept as BPE.
func (f *jsonFile) characterLevel(v *vocabulary, merges [][2]string) (*Tokenizer, error) {
	if !f.Model.ByteFallback {
		return nil, errors.New("model: BPE without byte_fallback and without ByteLevel is not supported")
	}
	n, err := f.marks()
	if err != nil {
		return nil, err
	}
	ids := v.index()
	m := &characterLevel{ids: ids}
	if m.merges, err = mergeTable(ids, merges); err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	var ok bool
	if m.bytes, ok = v.byteTokens(); !ok {
		return nil, fmt.Errorf("model: %w", errNoBytes)
	}
	t := &Tokenizer{model: m, normalise: n}
	t.spell(v)
	t.addSpecial(v)
	return t, f.decoding(t)
}

func (f *jsonFile) unigram() (*Tokenizer, error) {
	if !f.Model.ByteFallback {
		return nil, errors.New("model: Unigram without byte_fallback is not supported: some texts would have no tokens")
	}
	var entries [][2]any
	if err := json.Unmarshal(f.Model.Vocab, &entries); err != nil {
		return nil, fmt.Errorf("model: vocab: %w", err)
	}
	v := &vocabulary{}
	scores := make([]float32, 0, len(entries))
	for id, e := range entries {
		piece, ok1 := e[0].(string)
		score, ok2 := e[1].(float64)
		if !ok1 || !ok2 {
			return nil, fmt.Errorf("model: vocab: entry %d is no pair of a text and a score", id)
		}
		k := normal
		if f.Model.UnknownID != nil && id == *f.Model.UnknownID {
			k = unknown
		}
		if err := v.put(id, piece, k); err != nil {
			return nil, fmt.Errorf("model: vocab: %w", err)
		}
		scores = append(scores, float32(score))
	}
	v.markBytes()
	strips, err := f.addTo(v)
	if err != nil {
		return nil, fmt.Errorf("added_tokens: %w", err)
	}
	n, err := f.marks()
	if err != nil {
		return nil, err
	}
	for len(scores) < len(v.pieces) {
		scores = append(scores, 0) // of added tokens, which are not in the model
	}
	t, err := newUnigram(v, scores, n)
	if err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	t.strip(strips)
	return t, f.decoding(t)
}

// marks reads the ways in which spaces become ▁: by normalisers or by Metaspace.
func (f *jsonFile) marks() (normaliser, error) {
	var n normaliser
	for _, c := range f.Normalizer.parts(func(c *component) []*component { return c.Normalizers }) {
		switch {
		case c.Type == "Prepend" && c.Prepend == mark && !n.marks:
			n.prefix = prefixAlways
		case c.Type == "Replace" && c.Pattern.String != nil && *c.Pattern.String == " " && c.Content == mark:
			n.marks = true
		default:
			return n, fmt.Errorf("normalizer: %s with these settings is not supported", quote(c.Type))
		}
	}
	for _, c := range f.pre() {
		if c.Type != "Metaspace" || c.Replacement != mark || c.Split == nil || *c.Split {
			return n, fmt.Errorf("pre_tokenizer: %s with these settings is not supported beside this model", quote(c.Type))
		}
		n.marks = true
		switch scheme := c.PrependScheme; {
		case scheme == nil, *scheme == "always":
			n.prefix = prefixMissing
		case *scheme == "first":
			n.prefix = prefixMissingFirst
		case *scheme != "never":
			return n, fmt.Errorf("pre_tokenizer: prepend_scheme %s; supported are always, first and never", quote(*scheme))
		}
	}
	if !n.marks {
		return n, errors.New("normalizer and pre_tokenizer: none replaces spaces by ▁")
	}
	return n, nil
}

// decoding reads whether a leading space is taken off; what else decoders of such
// models do, Tokenizer does anyway.
func (f *jsonFile) decoding(t *Tokenizer) error {
	t.stripSpace = false
	for _, c := range f.Decoder.parts(func(c *component) []*component { return c.Decoders }) {
		switch c.Type {
		case "Replace", "ByteFallback", "Fuse":
		case "Strip":
			t.stripSpace = strings.TrimSpace(c.Content) == ""
		case "Metaspace":
			t.stripSpace = t.normalise.prefix != noPrefix
		default:
			return fmt.Errorf("decoder: %s is not supported", quote(c.Type))
		}
	}
	return nil
}

// template reads what sequences begin and end with.
func (f *jsonFile) template(t *Tokenizer) error {
	for _, c := range f.PostProcessor.parts(func(c *component) []*component { return c.Processors }) {
		if c.Type == "ByteLevel" {
			continue // changes only offsets
		}
		if c.Type != "TemplateProcessing" {
			return fmt.Errorf("%s is not supported", quote(c.Type))
		}
		after := false
		for _, part := range c.Single {
			if part.Special == nil {
				after = true
				continue
			}
			ids := c.SpecialTokens[part.Special.ID].IDs
			for _, id := range ids {
				if id < 0 || int(id) >= len(t.text) {
					return fmt.Errorf("special token %s has id %d, of %d tokens", quote(part.Special.ID), id, len(t.text))
				}
			}
			if after {
				t.end = append(t.end, ids...)
			} else {
				t.begin = append(t.begin, ids...)
			}
		}
	}
	return nil
}
