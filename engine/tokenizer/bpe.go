package tokenizer

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// pair is two tokens that merge.
type pair struct{ left, right int32 }

type merged struct {
	rank int32
	id   int32
}

// byteLevel is BPE over bytes: text is split into words, each word starts as its
// bytes, and pairs merge in the order in which training found them.
type byteLevel struct {
	words  words
	bytes  [256]int32
	merges map[pair]merged
	// whole are the words that are taken as they are; nil if none is.
	whole map[string]int32
}

func (m *byteLevel) segment(dst []int32, text string) []int32 {
	for m.words.digits && text != "" {
		n := run(text, unicode.IsNumber, 1)
		if n == 0 {
			n = run(text, func(r rune) bool { return !unicode.IsNumber(r) }, len(text))
		}
		dst = m.merge(dst, text[:n])
		text = text[n:]
	}
	return m.merge(dst, text)
}

func (m *byteLevel) merge(dst []int32, text string) []int32 {
	for text != "" {
		n := m.words.split(text)
		word := text[:n]
		text = text[n:]
		if id, ok := m.whole[word]; ok {
			dst = append(dst, id)
			continue
		}
		symbols := make([]symbol, len(word))
		for i := range len(word) {
			symbols[i] = symbol{from: i, to: i + 1, id: m.bytes[word[i]]}
		}
		dst = mergePairs(dst, symbols, m.merges)
	}
	return dst
}

func mergePairs(dst []int32, symbols []symbol, merges map[pair]merged) []int32 {
	link(symbols)
	mergeAll(symbols, func(left, right *symbol) (float64, int32, bool) {
		m, ok := merges[pair{left.id, right.id}]
		return float64(m.rank), m.id, ok
	})
	for i := range symbols {
		if symbols[i].from != symbols[i].to {
			dst = append(dst, symbols[i].id)
		}
	}
	return dst
}

// words is how byte-level models take text apart before they merge.
type words struct {
	split splitter
	// digits: each number is a word, before split sees the rest.
	digits bool
	// whole takes a word that is a token as it is, without merging (Llama 3).
	whole bool
}

// newByteLevel makes a tokenizer of a byte-level vocabulary; merges are pairs of
// spelled tokens.
func newByteLevel(v *vocabulary, merges [][2]string, w words) (*Tokenizer, error) {
	letters := newAlphabet()
	ids := v.index()
	table, err := mergeTable(ids, merges)
	if err != nil {
		return nil, err
	}
	m := &byteLevel{words: w, merges: table}
	for b := range 256 {
		id, ok := ids[letters.letters[b]]
		if !ok {
			return nil, fmt.Errorf("byte %#02x: %w", b, errNoBytes)
		}
		m.bytes[b] = id
	}
	t := &Tokenizer{model: m}
	t.text = make([]string, len(v.pieces))
	for id, piece := range v.pieces {
		switch v.kinds[id] {
		case normal, unused:
			if t.text[id], err = letters.unspell(piece); err != nil {
				return nil, err
			}
		case userDefined:
			t.text[id] = piece
		}
	}
	if w.whole {
		m.whole = make(map[string]int32, len(ids))
		for _, id := range ids {
			if v.kinds[id] == normal {
				m.whole[t.text[id]] = id
			}
		}
	}
	t.addSpecial(v)
	return t, nil
}

// mergeTable resolves merges to ids.
func mergeTable(ids map[string]int32, merges [][2]string) (map[pair]merged, error) {
	out := make(map[pair]merged, len(merges))
	for rank, m := range merges {
		left, ok1 := ids[m[0]]
		right, ok2 := ids[m[1]]
		id, ok3 := ids[m[0]+m[1]]
		if !ok1 || !ok2 || !ok3 {
			return nil, fmt.Errorf("merge %d, %s and %s: these or what they make are no tokens", rank, quote(m[0]), quote(m[1]))
		}
		key := pair{left, right}
		if _, twice := out[key]; !twice {
			out[key] = merged{int32(rank), id}
		}
	}
	return out, nil
}

// parseMerge reads "left right".
func parseMerge(s string) ([2]string, error) {
	left, right, ok := strings.Cut(s, " ")
	if !ok || left == "" || right == "" || strings.Contains(right, " ") {
		return [2]string{}, fmt.Errorf("merge %s: want two tokens and a space between them", quote(s))
	}
	return [2]string{left, right}, nil
}

// characterLevel is BPE over the characters of a whole stretch of text, as
// tokenizer.json has SentencePiece models. Characters that are no tokens become
// their bytes.
type characterLevel struct {
	ids    map[string]int32
	bytes  [256]int32
	merges map[pair]merged
}

func (m *characterLevel) segment(dst []int32, text string) []int32 {
	var symbols []symbol
	for i := 0; i < len(text); {
		_, size := utf8.DecodeRuneInString(text[i:])
		if id, ok := m.ids[text[i:i+size]]; ok {
			symbols = append(symbols, symbol{from: i, to: i + size, id: id})
		} else {
			for j := i; j < i+size; j++ {
				symbols = append(symbols, symbol{from: j, to: j + 1, id: m.bytes[text[j]]})
			}
		}
		i += size
	}
	return mergePairs(dst, symbols, m.merges)
}

// scored is SentencePiece's BPE: characters merge into the token of the highest
// score, leftmost first. Characters that no token has become their bytes.
type scored struct {
	ids    map[string]int32
	scores []float32
	bytes  [256]int32
}

func (m *scored) segment(dst []int32, text string) []int32 {
	var symbols []symbol
	for i := 0; i < len(text); {
		_, size := utf8.DecodeRuneInString(text[i:])
		id, ok := m.ids[text[i:i+size]]
		if !ok {
			id = -1
		}
		symbols = append(symbols, symbol{from: i, to: i + size, id: id})
		i += size
	}
	link(symbols)
	mergeAll(symbols, func(left, right *symbol) (float64, int32, bool) {
		id, ok := m.ids[text[left.from:right.to]]
		if !ok {
			return 0, 0, false
		}
		return -float64(m.scores[id]), id, true
	})
	for _, s := range symbols {
		switch {
		case s.from == s.to:
		case s.id >= 0:
			dst = append(dst, s.id)
		default:
			dst = m.asBytes(dst, text[s.from:s.to])
		}
	}
	return dst
}

func (m *scored) asBytes(dst []int32, text string) []int32 {
	for i := range len(text) {
		dst = append(dst, m.bytes[text[i]])
	}
	return dst
}

// newScored makes a tokenizer of a SentencePiece vocabulary of kind BPE.
func newScored(v *vocabulary, scores []float32, prefix prefix) (*Tokenizer, error) {
	if len(scores) != len(v.pieces) {
		return nil, fmt.Errorf("there are %d tokens and %d scores", len(v.pieces), len(scores))
	}
	m := &scored{ids: v.index(), scores: scores}
	var ok bool
	if m.bytes, ok = v.byteTokens(); !ok {
		return nil, errNoBytes
	}
	for _, s := range scores {
		if s != s {
			return nil, errors.New("a score is no number")
		}
	}
	t := &Tokenizer{model: m, normalise: normaliser{marks: true, prefix: prefix}, stripSpace: prefix != noPrefix}
	t.spell(v)
	t.addSpecial(v)
	return t, nil
}
