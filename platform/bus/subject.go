package bus

import (
	"fmt"
	"strings"
)

// StreamOf returns the stream that stores subject. The error wraps ErrSubject
// and says what is wrong with a subject that none stores.
func StreamOf(subject string) (Stream, error) {
	if err := checkTokens(subject); err != nil {
		return "", err
	}
	if strings.ContainsAny(subject, "*>") {
		return "", fmt.Errorf("%w: %q: a wildcard cannot be published to", ErrSubject, subject)
	}
	for _, s := range []Stream{Control, Runs} {
		if Match(s.Subjects(), subject) {
			return s, nil
		}
	}
	return "", fmt.Errorf("%w: %q: want %s or %s", ErrSubject, subject, Control.Subjects(), Runs.Subjects())
}

// CheckFilters says whether a reader of s can have these filters: each within
// the subjects of s, and no two with a subject in common. The error wraps
// ErrSubject.
func CheckFilters(s Stream, filters []string) error {
	if s != Control && s != Runs {
		return fmt.Errorf("%w: unknown stream %q: want %s or %s", ErrSubject, s, Control, Runs)
	}
	for i, f := range filters {
		if err := checkTokens(f); err != nil {
			return err
		}
		if err := checkWildcards(f); err != nil {
			return err
		}
		if !covers(s.Subjects(), f) {
			return fmt.Errorf("%w: filter %q of stream %s: want a part of %s", ErrSubject, f, s, s.Subjects())
		}
		for _, g := range filters[:i] {
			if overlap(f, g) {
				return fmt.Errorf("%w: filters %q and %q have subjects in common: want filters apart from each other", ErrSubject, g, f)
			}
		}
	}
	return nil
}

// CheckSignal says whether a signal can have this subject, or a listener this
// filter. The error wraps ErrSubject.
func CheckSignal(filter string) error {
	if err := checkTokens(filter); err != nil {
		return err
	}
	if err := checkWildcards(filter); err != nil {
		return err
	}
	if !covers(Signals, filter) {
		return fmt.Errorf("%w: %q: signals are below %s", ErrSubject, filter, Signals)
	}
	return nil
}

// CheckDurable says whether name can be a durable consumer's.
func CheckDurable(name string) error {
	if name == "" || strings.ContainsFunc(name, func(r rune) bool {
		return r <= ' ' || r == 0x7f || strings.ContainsRune(`.*>/\`, r)
	}) {
		return fmt.Errorf(`bus: durable name %q: want at least one character, without white space and any of . * > / \`, name)
	}
	return nil
}

// Match reports whether filter selects subject. In a filter, the token * stands
// for any one token, and a final > for one or more.
func Match(filter, subject string) bool {
	for {
		f, filterRest, filterMore := strings.Cut(filter, ".")
		if f == ">" && !filterMore {
			return true
		}
		t, subjectRest, subjectMore := strings.Cut(subject, ".")
		if f != "*" && f != t {
			return false
		}
		if filterMore != subjectMore {
			return false
		}
		if !filterMore {
			return true
		}
		filter, subject = filterRest, subjectRest
	}
}

// MatchAny reports whether one of the filters selects subject. No filters
// select everything.
func MatchAny(filters []string, subject string) bool {
	for _, f := range filters {
		if Match(f, subject) {
			return true
		}
	}
	return len(filters) == 0
}

func checkTokens(subject string) error {
	if subject == "" || strings.HasPrefix(subject, ".") || strings.HasSuffix(subject, ".") || strings.Contains(subject, "..") {
		return fmt.Errorf("%w: %q: want tokens with dots between them, none of them empty", ErrSubject, subject)
	}
	if strings.ContainsFunc(subject, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return fmt.Errorf("%w: %q: want no white space and no control characters", ErrSubject, subject)
	}
	return nil
}

func checkWildcards(filter string) error {
	tokens := strings.Split(filter, ".")
	for i, t := range tokens {
		last := i == len(tokens)-1
		if strings.ContainsAny(t, "*>") && t != "*" && !(t == ">" && last) {
			return fmt.Errorf("%w: filter %q: want * as a whole token and > as the last", ErrSubject, filter)
		}
	}
	return nil
}

// covers reports whether all that filter selects lies under prefix, a wildcard
// that ends in >.
func covers(prefix, filter string) bool {
	rest, ok := strings.CutPrefix(filter, strings.TrimSuffix(prefix, ">"))
	return ok && rest != ""
}

// overlap reports whether some subject matches both filters.
func overlap(f, g string) bool {
	fs, gs := strings.Split(f, "."), strings.Split(g, ".")
	for i := range min(len(fs), len(gs)) {
		if fs[i] == ">" || gs[i] == ">" {
			return true
		}
		if fs[i] != gs[i] && fs[i] != "*" && gs[i] != "*" {
			return false
		}
	}
	return len(fs) == len(gs)
}
