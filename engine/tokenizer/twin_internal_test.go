package tokenizer

import (
	"fmt"
	"math"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// twin finds words with Go's regexp: the alternatives before the look-ahead, then
// "\s+(?!\S)|\s+" by trying every length.
func twin(pattern string) splitter {
	const space = `\s\v\x{85}\p{Z}`
	pattern = strings.TrimSuffix(pattern, `|\s+(?!\S)|\s+`)
	pattern = strings.NewReplacer(`[^\s`, `[^`+space, `\s`, `[`+space+`]`).Replace(pattern)
	before := regexp.MustCompile(`^(?:` + pattern + `)`)
	white := regexp.MustCompile(`^[` + space + `]+$`)
	return func(text string) int {
		if at := before.FindStringIndex(text); at != nil {
			return at[1]
		}
		var ends []int // \s+ takes all it can, then gives back
		for n := 0; n < len(text) && white.MatchString(text[n:n+size(text[n:])]); {
			n += size(text[n:])
			ends = append(ends, n)
		}
		for _, n := range slices.Backward(ends) {
			if n == len(text) || n < ends[len(ends)-1] {
				return n
			}
		}
		return ends[0]
	}
}

func size(text string) int {
	_, n := utf8.DecodeRuneInString(text)
	return n
}

func FuzzSplit(f *testing.F) {
	for _, text := range []string{"it's IT'S 'ſ\n", "a  b\t\r\n  \nc", "12345 ٣٤٥ ²³", " \u00a0x\u2003\u0085\u2028", "日本 語!!\r\n\n", "\u200b\ufeffé́"} {
		f.Add(text)
	}
	splitters := map[string]splitter{patternGPT2: splitGPT2, patternLlama3: splitLlama3, patternQwen2: splitQwen2}
	twins := map[string]splitter{}
	for pattern := range splitters {
		twins[pattern] = twin(pattern)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) || len(text) > 500 {
			return
		}
		for pattern, split := range splitters {
			for rest := text; rest != ""; {
				got, want := split(rest), twins[pattern](rest)
				if got != want {
					t.Fatalf("%s: of %q the first word is %q, want %q", pattern, rest, rest[:got], rest[:want])
				}
				rest = rest[got:]
			}
		}
	})
}

// TestMergeAgainstTwin merges random words one pair at a time, the best of all
// first.
func TestMergeAgainstTwin(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		ids := int32(4)
		merges := map[pair]merged{}
		for range 12 {
			key := pair{random.Int32N(ids), random.Int32N(ids)}
			if _, twice := merges[key]; !twice {
				// Ranks may be equal: then the leftmost merges first.
				merges[key] = merged{rank: random.Int32N(8), id: ids}
				ids++
			}
		}
		word := make([]int32, random.IntN(30))
		symbols := make([]symbol, len(word))
		for i := range word {
			word[i] = random.Int32N(4)
			symbols[i] = symbol{from: i, to: i + 1, id: word[i]}
		}
		got := mergePairs(nil, symbols, merges)
		want := slices.Clone(word)
		for {
			best, rank := -1, int32(math.MaxInt32)
			for i := range len(want) - 1 {
				if m, ok := merges[pair{want[i], want[i+1]}]; ok && m.rank < rank {
					best, rank = i, m.rank
				}
			}
			if best < 0 {
				break
			}
			id := merges[pair{want[best], want[best+1]}].id
			want = slices.Replace(want, best, best+2, id)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%v merges to %v, want %v, by %v", word, got, want, merges)
		}
	}
}

// TestUnigramAgainstTwin tries every way to split random texts.
func TestUnigramAgainstTwin(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		v := &vocabulary{}
		var scores []float32
		for b := range 256 {
			mustPut(t, v, byteName(b), byteToken)
			scores = append(scores, 0)
		}
		for _, piece := range []string{"a", "b", "ab", "ba", "aab", "abab", "bb", "é", "aé"} {
			if random.IntN(4) > 0 {
				mustPut(t, v, piece, normal)
				scores = append(scores, -float32(random.IntN(1000))/64-0.5)
			}
		}
		if len(v.pieces) == 256 {
			continue
		}
		k, err := newUnigram(v, scores, normaliser{})
		if err != nil {
			t.Fatal(err)
		}
		m := k.model.(*unigram)
		var text strings.Builder
		for range random.IntN(9) {
			text.WriteString([]string{"a", "b", "é", "x"}[random.IntN(4)])
		}
		got := m.segment(nil, text.String())
		if score, best := m.total(v, got, text.String()), m.brute(v, text.String()); math.Abs(score-best) > 1e-9 {
			t.Fatalf("%q becomes %v with score %g, the best is %g", text.String(), got, score, best)
		}
		if decoded := k.Decode(got); decoded != text.String() {
			t.Fatalf("%q comes back as %q", text.String(), decoded)
		}
	}
}

func byteName(b int) string { return fmt.Sprintf("<0x%02X>", b) }

func mustPut(t *testing.T, v *vocabulary, piece string, k kind) {
	t.Helper()
	if err := v.put(len(v.pieces), piece, k); err != nil {
		t.Fatal(err)
	}
}

// total is the score of tokens; a character of byte tokens counts once.
func (m *unigram) total(v *vocabulary, ids []int32, text string) float64 {
	sum := 0.0
	for i := 0; i < len(ids); {
		if v.kinds[ids[i]] != byteToken {
			sum += float64(m.scores[ids[i]])
			text = text[len(v.pieces[ids[i]]):]
			i++
			continue
		}
		n := size(text)
		sum += m.unknown
		text, i = text[n:], i+n
	}
	return sum
}

func (m *unigram) brute(v *vocabulary, text string) float64 {
	if text == "" {
		return 0
	}
	best := math.Inf(-1)
	single := false
	for id, piece := range v.pieces {
		if v.kinds[id] == normal && strings.HasPrefix(text, piece) {
			best = max(best, float64(m.scores[id])+m.brute(v, text[len(piece):]))
			single = single || len(piece) == size(text)
		}
	}
	if !single {
		best = max(best, m.unknown+m.brute(v, text[size(text):]))
	}
	return best
}
