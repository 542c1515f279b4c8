package tokenizer

import (
	"fmt"
	"unicode/utf8"
)

// alphabet is how byte-level vocabularies spell bytes: each as one printable
// character. The printable ones of Latin-1 are themselves, the others are the
// characters from U+0100 on, in their order.
type alphabet struct {
	letters [256]string
	bytes   map[rune]byte
}

func newAlphabet() alphabet {
	a := alphabet{bytes: make(map[rune]byte, 256)}
	next := rune(0x100)
	for b := range 256 {
		r := rune(b)
		if printable := r >= '!' && r <= '~' || r >= 0xa1 && r <= 0xac || r >= 0xae; !printable {
			r = next
			next++
		}
		a.letters[b], a.bytes[r] = string(r), byte(b)
	}
	return a
}

// unspell returns the bytes of a token.
func (a alphabet) unspell(piece string) (string, error) {
	out := make([]byte, 0, utf8.RuneCountInString(piece))
	for _, r := range piece {
		b, ok := a.bytes[r]
		if !ok {
			return "", fmt.Errorf("token %s: %q spells no byte", quote(piece), r)
		}
		out = append(out, b)
	}
	return string(out), nil
}
