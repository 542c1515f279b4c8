package tokenizer

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"unicode/utf8"
)

// unigram splits text into the tokens whose scores (logarithms of probabilities)
// have the largest sum. Characters that no token has become their bytes.
type unigram struct {
	trie   map[edge]int32 // to the next node
	tokens []int32        // of nodes; -1: none
	scores []float32
	bytes  [256]int32
	// unknown is the score of a character that no token has.
	unknown float64
}

type edge struct {
	node int32
	b    byte
}

// unknownPenalty is by how much an unknown character scores less than the rarest
// token: SentencePiece's.
const unknownPenalty = 10

func newUnigram(v *vocabulary, scores []float32, n normaliser) (*Tokenizer, error) {
	if len(scores) != len(v.pieces) {
		return nil, fmt.Errorf("there are %d tokens and %d scores", len(v.pieces), len(scores))
	}
	m := &unigram{trie: map[edge]int32{}, tokens: []int32{-1}, scores: scores, unknown: math.Inf(1)}
	var ok bool
	if m.bytes, ok = v.byteTokens(); !ok {
		return nil, errNoBytes
	}
	index := v.index()
	for id, piece := range v.pieces {
		if at, in := index[piece]; !in || int(at) != id {
			continue
		}
		if s := float64(scores[id]); math.IsNaN(s) || math.IsInf(s, 0) {
			return nil, errors.New("a score is not finite")
		}
		m.unknown = min(m.unknown, float64(scores[id]))
		node := int32(0)
		for i := range len(piece) {
			next, ok := m.trie[edge{node, piece[i]}]
			if !ok {
				next = int32(len(m.tokens))
				m.trie[edge{node, piece[i]}] = next
				m.tokens = append(m.tokens, -1)
			}
			node = next
		}
		m.tokens[node] = int32(id)
	}
	m.unknown -= unknownPenalty
	t := &Tokenizer{model: m, normalise: n, stripSpace: n.prefix != noPrefix}
	t.spell(v)
	t.addSpecial(v)
	return t, nil
}

// segment finds the best path by dynamic programming over the ends of tokens. Of
// equals, the one that was found first stays.
func (m *unigram) segment(dst []int32, text string) []int32 {
	type step struct {
		score float64
		from  int
		id    int32 // -1: a character without a token; -2: not reached
	}
	best := make([]step, len(text)+1)
	for i := range best {
		best[i].id = -2
	}
	best[0].id = -1
	reach := func(to int, s step) {
		if best[to].id == -2 || s.score > best[to].score {
			best[to] = s
		}
	}
	for from := 0; from < len(text); {
		_, size := utf8.DecodeRuneInString(text[from:])
		single := false
		node := int32(0)
		for to := from; to < len(text); {
			next, ok := m.trie[edge{node, text[to]}]
			if !ok {
				break
			}
			node = next
			to++
			if id := m.tokens[node]; id >= 0 {
				reach(to, step{best[from].score + float64(m.scores[id]), from, id})
				single = single || to == from+size
			}
		}
		if !single {
			reach(from+size, step{best[from].score + m.unknown, from, -1})
		}
		from += size
	}
	var path []step
	for at := len(text); at > 0; at = best[at].from {
		path = append(path, step{from: at, id: best[at].id})
	}
	for _, s := range slices.Backward(path) {
		if s.id >= 0 {
			dst = append(dst, s.id)
			continue
		}
		to := s.from
		for at := best[to].from; at < to; at++ {
			dst = append(dst, m.bytes[text[at]])
		}
	}
	return dst
}
