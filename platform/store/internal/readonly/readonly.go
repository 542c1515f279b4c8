// Package readonly lets single reading statements through.
//
// It gives the clear answer; that nothing is ever written is ensured by the
// connection (SQLite opens the file read-only, ClickHouse gets readonly=1).
package readonly

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrRefused is returned for a statement that does more than read.
var ErrRefused = errors.New("only reading statements are allowed")

// Dialect is how a store's SQL differs where statements begin and end.
type Dialect struct {
	// Verbs are the keywords that a reading statement may begin with.
	Verbs []string
	// BackslashEscapes says that \' does not end a quoted text.
	BackslashEscapes bool
	// BracketNames says that [a;b] is a name.
	BracketNames bool
}

// The dialects of the stores.
var (
	SQLite     = Dialect{Verbs: []string{"SELECT", "WITH", "VALUES", "EXPLAIN"}, BracketNames: true}
	ClickHouse = Dialect{Verbs: []string{"SELECT", "WITH", "SHOW", "DESCRIBE", "DESC", "EXISTS", "EXPLAIN"}, BackslashEscapes: true}
)

// Statement returns the one reading statement in sql without the semicolon at
// its end. It refuses what is empty, begins with another verb, or holds more
// than one statement.
func (d Dialect) Statement(sql string) (string, error) {
	start := d.skip(sql, 0, isBlank)
	rest := strings.TrimLeft(sql[start:], "( \t\r\n")
	verb := rest[:len(rest)-len(strings.TrimLeft(rest, letters))]
	if verb == "" {
		return "", fmt.Errorf("%w: the statement is empty or begins with no keyword; allowed: %s", ErrRefused, strings.Join(d.Verbs, ", "))
	}
	if !slices.Contains(d.Verbs, strings.ToUpper(verb)) {
		return "", fmt.Errorf("%w: the statement begins with %q; allowed: %s", ErrRefused, verb, strings.Join(d.Verbs, ", "))
	}
	end := d.skip(sql, start, func(c byte) bool { return c != ';' })
	if end < len(sql) && d.skip(sql, end, func(c byte) bool { return isBlank(c) || c == ';' }) < len(sql) {
		return "", fmt.Errorf("%w: one statement at a time, another one follows the first semicolon", ErrRefused)
	}
	return sql[start:end], nil
}

const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// skip returns the place of the first byte from i on that is outside comments
// and, taken as the start of a token, is not wanted.
func (d Dialect) skip(sql string, i int, wanted func(byte) bool) int {
	for i < len(sql) {
		switch n := commentLen(sql[i:]); {
		case n > 0:
			i += n
		case !wanted(sql[i]):
			return i
		default:
			i += d.tokenLen(sql[i:])
		}
	}
	return i
}

// commentLen is the length of the comment that s begins with, 0 if there is none.
func commentLen(s string) int {
	end := ""
	switch {
	case strings.HasPrefix(s, "--"):
		end = "\n"
	case strings.HasPrefix(s, "/*"):
		end = "*/"
	default:
		return 0
	}
	if i := strings.Index(s[2:], end); i >= 0 {
		return 2 + i + len(end)
	}
	return len(s)
}

// tokenLen is the length of the quoted text or name that s begins with, else 1.
// A doubled quote inside is taken as two texts side by side, which ends at the
// same place.
func (d Dialect) tokenLen(s string) int {
	quote := s[0]
	switch {
	case quote == '\'' || quote == '"' || quote == '`':
	case quote == '[' && d.BracketNames:
		quote = ']'
	default:
		return 1
	}
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && d.BackslashEscapes:
			i++
		case s[i] == quote:
			return i + 1
		}
	}
	return len(s)
}
