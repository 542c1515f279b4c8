package tokenizer

import (
	"unicode"
	"unicode/utf8"
)

// The expressions by which byte-level models split text into words before they
// merge bytes. Go's regexp has no look-ahead, and a table of their meanings is
// faster: they are written out below by hand, and tokenizer.json is compared with
// these texts.
const (
	patternGPT2   = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
	patternLlama3 = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	patternQwen2  = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
)

// splitter returns the length of the first word of text, which is not empty.
type splitter func(text string) int

// splitNothing takes a text whole.
func splitNothing(text string) int { return len(text) }

// splitGPT2 is patternGPT2.
func splitGPT2(text string) int {
	if n := contraction(text, false); n > 0 {
		return n
	}
	skip := 0 // " ?"
	if text[0] == ' ' {
		skip = 1
	}
	for _, in := range []func(rune) bool{unicode.IsLetter, unicode.IsNumber, isOther} {
		if n := run(text[skip:], in, len(text)); n > 0 {
			return skip + n
		}
	}
	return spaces(text)
}

// splitLlama3 is patternLlama3; splitQwen2 takes digits one by one.
func splitLlama3(text string) int { return splitModern(text, 3) }
func splitQwen2(text string) int  { return splitModern(text, 1) }

func splitModern(text string, digits int) int {
	if n := contraction(text, true); n > 0 {
		return n
	}
	first, size := utf8.DecodeRuneInString(text)
	lead := 0 // "[^\r\n\p{L}\p{N}]?"
	if first != '\r' && first != '\n' && !unicode.IsLetter(first) && !unicode.IsNumber(first) {
		lead = size
	}
	if n := run(text[lead:], unicode.IsLetter, len(text)); n > 0 {
		return lead + n
	}
	if n := run(text, unicode.IsNumber, digits); n > 0 {
		return n
	}
	skip := 0
	if text[0] == ' ' {
		skip = 1
	}
	if n := run(text[skip:], isOther, len(text)); n > 0 {
		n += skip
		return n + run(text[n:], isLineEnd, len(text))
	}
	// "\s*[\r\n]+" takes the white space up to its last line end.
	all := run(text, isSpace, len(text))
	for n := all; n > 0; n-- {
		if isLineEnd(rune(text[n-1])) {
			return n
		}
	}
	return spaces(text)
}

// spaces is "\s+(?!\S)|\s+": white space but for its last character if a word
// follows, which that character then belongs to.
func spaces(text string) int {
	n := run(text, isSpace, len(text))
	if n == len(text) {
		return n
	}
	if _, last := utf8.DecodeLastRuneInString(text[:n]); n > last {
		return n - last
	}
	return n
}

// run is the length of the characters at the start of text for which in holds, at
// most so many.
func run(text string, in func(rune) bool, most int) int {
	n := 0
	for ; most > 0 && n < len(text); most-- {
		r, size := utf8.DecodeRuneInString(text[n:])
		if !in(r) {
			break
		}
		n += size
	}
	return n
}

// isSpace is \s: the property White_Space.
func isSpace(r rune) bool   { return unicode.IsSpace(r) }
func isLineEnd(r rune) bool { return r == '\r' || r == '\n' }

// isOther is [^\s\p{L}\p{N}]. A byte that is no UTF-8 is one such character.
func isOther(r rune) bool {
	return !isSpace(r) && !unicode.IsLetter(r) && !unicode.IsNumber(r)
}

// contraction is the length of 's, 't, 're, 've, 'm, 'll or 'd at the start of
// text; fold takes capitals too.
func contraction(text string, fold bool) int {
	if text[0] != '\'' {
		return 0
	}
	for _, tail := range []string{"s", "t", "re", "ve", "m", "ll", "d"} {
		n := 1
		for _, want := range tail {
			r, size := utf8.DecodeRuneInString(text[n:])
			// Folded, the long s is an s.
			if r != want && !(fold && (r == unicode.ToUpper(want) || want == 's' && r == 'ſ')) {
				n = 0
				break
			}
			n += size
		}
		if n > 0 {
			return n
		}
	}
	return 0
}
