// Package tokenizer turns text into the tokens of a model and back: byte-level
// BPE (GPT-2, Llama 3), SentencePiece BPE (Llama 2, Mistral) and unigram, read
// from tokenizer.json, from a GGUF file or from a SentencePiece model.
//
// A tokenizer does what the reference implementations do or refuses the file: no
// text is ever split "nearly" as the model was trained.
package tokenizer

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Tokenizer is safe for concurrent use.
type Tokenizer struct {
	// text is what each token stands for, in bytes; nothing for control tokens.
	text []string
	// begin and end are put around a sequence, as the model was trained.
	begin, end []int32
	// added are tokens that are found in the text before anything else.
	added added
	model segmenter
	// normalise is applied to what lies between added tokens; first says that the
	// stretch begins the text.
	normalise normaliser
	// stripSpace: the text of a sequence begins with a space that nobody wrote.
	stripSpace bool
}

// segmenter splits text that holds no added tokens.
type segmenter interface {
	segment(dst []int32, text string) []int32
}

// Options of encoding.
type Options struct {
	// Begin puts what the model's sequences begin with (and end with, of the few
	// models that want an end) around the tokens: for a prompt, not for a part of
	// one.
	Begin bool
	// Special lets control tokens that are spelled out in the text be themselves.
	// Leave it off for text of people whom one does not trust to end a turn.
	Special bool
}

// Vocabulary is the number of tokens; ids are below it.
func (t *Tokenizer) Vocabulary() int { return len(t.text) }

// Encode returns the tokens of a text. Every text has tokens, also one that is no
// valid UTF-8.
func (t *Tokenizer) Encode(text string, o Options) []int32 {
	var out []int32
	if o.Begin {
		out = append(out, t.begin...)
	}
	first := true
	for len(text) > 0 {
		from, to, id := t.added.next(text, o.Special)
		if from > 0 {
			out = t.model.segment(out, t.normalise.apply(text[:from], first))
			first = false
		}
		if id >= 0 {
			out = append(out, id)
			first = false
		}
		text = text[to:]
	}
	if o.Begin {
		out = append(out, t.end...)
	}
	return out
}

// Decode returns the text of tokens; control tokens have none. Of byte-level
// models it is exactly the text that was encoded. Ids that are no tokens are left
// out.
func (t *Tokenizer) Decode(ids []int32) string {
	var out strings.Builder
	d := Decoder{tokenizer: t}
	for _, id := range ids {
		out.WriteString(d.bytes(id))
	}
	return out.String()
}

// Stream returns a decoder for tokens that come one by one.
func (t *Tokenizer) Stream() *Decoder { return &Decoder{tokenizer: t} }

// Decoder gives text as it becomes whole: a character that spans tokens waits for
// its last byte. All that Next and Rest return together is what Decode returns.
type Decoder struct {
	tokenizer *Tokenizer
	started   bool
	waiting   string
}

// Next takes a token and returns the text that is whole with it.
func (d *Decoder) Next(id int32) string {
	text := d.waiting + d.bytes(id)
	whole := len(text) - incomplete(text)
	d.waiting = text[whole:]
	return text[:whole]
}

// Rest returns what still waits, at the end of the tokens.
func (d *Decoder) Rest() string {
	rest := d.waiting
	d.waiting = ""
	return rest
}

func (d *Decoder) bytes(id int32) string {
	if id < 0 || int(id) >= len(d.tokenizer.text) {
		return ""
	}
	text := d.tokenizer.text[id]
	if text != "" && !d.started {
		d.started = true
		if d.tokenizer.stripSpace {
			text = strings.TrimPrefix(text, " ")
		}
	}
	return text
}

// incomplete is the length of the start of a character at the end of s, of which
// bytes are missing.
func incomplete(s string) int {
	for n := 1; n <= min(3, len(s)); n++ {
		b := s[len(s)-n]
		want := 0
		switch {
		case b&0xc0 == 0x80:
			continue // inside of a character
		case b&0xe0 == 0xc0:
			want = 2
		case b&0xf0 == 0xe0:
			want = 3
		case b&0xf8 == 0xf0:
			want = 4
		}
		if n < want {
			return n
		}
		return 0
	}
	return 0
}

// normaliser is what SentencePiece does to text before it is split.
type normaliser struct {
	// marks replaces spaces by ▁.
	marks bool
	// prefix puts a space in front: of every stretch between added tokens, or of
	// the text only.
	prefix prefix
}

type prefix uint8

const (
	noPrefix prefix = iota
	prefixFirst
	prefixAlways
	// prefixMissing is prefixAlways where no space is there yet.
	prefixMissing
	prefixMissingFirst
)

const mark = "\u2581" // ▁, a space in the vocabularies of SentencePiece

func (n normaliser) apply(text string, first bool) string {
	here := n.prefix == prefixAlways || n.prefix == prefixMissing || first && n.prefix != noPrefix
	missing := n.prefix == prefixMissing || n.prefix == prefixMissingFirst
	if n.marks {
		text = strings.ReplaceAll(text, " ", mark)
	}
	space := " "
	if n.marks {
		space = mark
	}
	if here && !(missing && strings.HasPrefix(text, space)) {
		text = space + text
	}
	return text
}

// added finds added tokens.
type added struct {
	// byFirst has the tokens by their first byte, longest first.
	byFirst [256][]addedToken
}

type addedToken struct {
	content string
	id      int32
	// control tokens are found only where they are asked for.
	control bool
	// left and right take white space beside the token with it.
	left, right bool
}

func (a *added) add(t addedToken) {
	a.byFirst[t.content[0]] = append(a.byFirst[t.content[0]], t)
}

// next returns the first added token of text: the text before it ends at from, the
// text after it starts at to. Without one, from and to are the text's end, and id
// is -1.
func (a *added) next(text string, special bool) (from, to int, id int32) {
	for i := range len(text) {
		for _, t := range a.byFirst[text[i]] {
			if (t.control && !special) || !strings.HasPrefix(text[i:], t.content) {
				continue
			}
			from, to = i, i+len(t.content)
			if t.left {
				from = len(strings.TrimRightFunc(text[:from], isSpace))
			}
			if t.right {
				to = len(text) - len(strings.TrimLeftFunc(text[to:], isSpace))
			}
			return from, to, t.id
		}
	}
	return len(text), len(text), -1
}

const maxVocabulary = 1 << 24

// vocabulary is what the readers of all formats collect.
type vocabulary struct {
	pieces []string // as the file spells them
	kinds  []kind
}

// kind is what a token is for; the numbers are SentencePiece's.
type kind uint8

const (
	normal      kind = 1
	unknown     kind = 2
	control     kind = 3
	userDefined kind = 4
	unused      kind = 5
	byteToken   kind = 6
)

// index returns the ids of the tokens that text can be split into. Of two that are
// spelled alike the first counts.
func (v *vocabulary) index() map[string]int32 {
	out := make(map[string]int32, len(v.pieces))
	for id, piece := range v.pieces {
		if k := v.kinds[id]; piece == "" || (k != normal && k != unused && k != userDefined) {
			continue
		}
		if _, twice := out[piece]; !twice {
			out[piece] = int32(id)
		}
	}
	return out
}

// put sets the token of an id, growing the vocabulary.
func (v *vocabulary) put(id int, piece string, k kind) error {
	if id < 0 || id >= maxVocabulary {
		return fmt.Errorf("token %s has id %d, must be 0 to %d", quote(piece), id, maxVocabulary-1)
	}
	if id >= len(v.pieces) {
		v.pieces = append(v.pieces, make([]string, id+1-len(v.pieces))...)
		v.kinds = append(v.kinds, make([]kind, id+1-len(v.kinds))...)
	}
	v.pieces[id], v.kinds[id] = piece, k
	return nil
}

// byteTokens returns the ids of <0x00> to <0xFF>; ok is false if one is missing.
func (v *vocabulary) byteTokens() (ids [256]int32, ok bool) {
	found := [256]bool{}
	for id, piece := range v.pieces {
		if b, is := byteOf(piece); is && (v.kinds[id] == byteToken || v.kinds[id] == normal) {
			ids[b], found[b] = int32(id), true
		}
	}
	return ids, !slices.Contains(found[:], false)
}

// byteOf reads <0xAB>.
func byteOf(piece string) (byte, bool) {
	const digits = "0123456789ABCDEF"
	if len(piece) != 6 || piece[:3] != "<0x" || piece[5] != '>' {
		return 0, false
	}
	high, low := strings.IndexByte(digits, piece[3]), strings.IndexByte(digits, piece[4])
	return byte(high<<4 | low), high >= 0 && low >= 0
}

// addSpecial makes added tokens of the control, unknown and user-defined ones.
func (t *Tokenizer) addSpecial(v *vocabulary) {
	for id, piece := range v.pieces {
		if k := v.kinds[id]; piece != "" && (k == control || k == unknown || k == userDefined) {
			t.added.add(addedToken{content: piece, id: int32(id), control: k != userDefined})
		}
	}
	for _, list := range &t.added.byFirst {
		slices.SortStableFunc(list, func(x, y addedToken) int { return len(y.content) - len(x.content) })
	}
}

// spell fills in what the tokens stand for: marks are spaces.
func (t *Tokenizer) spell(v *vocabulary) {
	t.text = make([]string, len(v.pieces))
	for id, piece := range v.pieces {
		switch v.kinds[id] {
		case normal, unused:
			t.text[id] = strings.ReplaceAll(piece, mark, " ")
		case userDefined:
			t.text[id] = piece
		case byteToken:
			if b, ok := byteOf(piece); ok {
				t.text[id] = string([]byte{b})
			}
		}
	}
}

// quote shortens texts of files that nobody checked.
func quote(s string) string {
	if len(s) > 256 {
		s = s[:256] + "..."
	}
	return strconv.Quote(s)
}

var errNoBytes = errors.New("there are not tokens for all 256 bytes, so that some texts have no tokens")
