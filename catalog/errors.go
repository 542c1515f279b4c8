package catalog

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/agnivade/levenshtein"
)

// RefusedError says that a start event asks for something that the catalogue
// does not have.
type RefusedError struct {
	What    string   // what was named: "trace", "model", "time scale"
	Got     string   // as the user typed it
	Reason  string   // why it is refused; empty: it is unknown
	Allowed []string // what is allowed; empty if Reason says it all
	Nearest string   // the allowed value most like Got; empty if none is
}

// Error implements error: unknown trace "As0": allowed are As, Bs, As+o, Bs+o;
// did you mean As?
func (e *RefusedError) Error() string {
	var b strings.Builder
	if e.Reason == "" {
		fmt.Fprintf(&b, "unknown %s %q", e.What, e.Got)
	} else {
		fmt.Fprintf(&b, "%s %q %s", e.What, e.Got, e.Reason)
	}
	switch len(e.Allowed) {
	case 0:
	case 1:
		fmt.Fprintf(&b, ": allowed is %s", e.Allowed[0])
	default:
		fmt.Fprintf(&b, ": allowed are %s", strings.Join(e.Allowed, ", "))
	}
	if e.Nearest != "" {
		fmt.Fprintf(&b, "; did you mean %s?", e.Nearest)
	}
	return b.String()
}

// refuseUnknown says that got is none of the allowed values.
func refuseUnknown(what, got string, allowed []string) *RefusedError {
	return &RefusedError{What: what, Got: got, Allowed: allowed, Nearest: nearest(got, allowed)}
}

// refuseNumber says that got is none of the allowed numbers.
func refuseNumber(what string, got int, allowed []int) *RefusedError {
	refused := &RefusedError{What: what, Got: strconv.Itoa(got)}
	least := math.Inf(1)
	for _, n := range allowed {
		refused.Allowed = append(refused.Allowed, strconv.Itoa(n))
		// The difference of two ints may overflow one.
		if d := math.Abs(float64(n) - float64(got)); d < least {
			least, refused.Nearest = d, strconv.Itoa(n)
		}
	}
	return refused
}

// nearest returns the value of allowed with the smallest edit distance to got,
// first without and then with regard to case; "" if nothing is alike. Of equals
// the longest wins, since more of it is the same, then the first.
func nearest(got string, allowed []string) string {
	best, bestFolded, bestExact := "", math.MaxInt, math.MaxInt
	for _, a := range allowed {
		folded := levenshtein.ComputeDistance(strings.ToLower(got), strings.ToLower(a))
		exact := levenshtein.ComputeDistance(got, a)
		if folded >= max(utf8.RuneCountInString(got), utf8.RuneCountInString(a)) {
			continue // no letter in common
		}
		if cmp.Or(cmp.Compare(folded, bestFolded), cmp.Compare(exact, bestExact), cmp.Compare(len(best), len(a))) < 0 {
			best, bestFolded, bestExact = a, folded, exact
		}
	}
	return best
}

// FileError says what is wrong with a file, and where.
type FileError struct {
	File   string
	Line   int // from 1; 0 if it is not about one line
	Reason string
}

// Error implements error: trace.txt:3: node "node-8" is up already.
func (e *FileError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %s", e.File, e.Reason)
	}
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Reason)
}
