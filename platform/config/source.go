package config

import "fmt"

// SourceKind is where a value can come from.
type SourceKind int

// The kinds of sources, the weakest first.
const (
	Default SourceKind = iota
	File
	Environment
	CommandLine
)

// Source is where a value came from. The zero Source is the flag's default.
type Source struct {
	Kind SourceKind
	Name string // the flag, the variable, or the file
	Line int    // in the file, from 1; 0 elsewhere
}

// String names the source as it appears in an error: "flag --seed",
// "environment SPOTSERVE_SEED", "spotserve.yaml:3" or "default".
func (s Source) String() string {
	switch s.Kind {
	case CommandLine:
		return "flag " + s.Name
	case Environment:
		return "environment " + s.Name
	case File:
		if s.Line == 0 {
			return s.Name
		}
		return fmt.Sprintf("%s:%d", s.Name, s.Line)
	default:
		return "default"
	}
}

// Sources says where the value of each flag came from. A flag that is not in it
// has its default.
type Sources map[string]Source

// ValueError is a value that cannot be taken, with the place it came from.
type ValueError struct {
	Source Source
	Err    error
}

func (e *ValueError) Error() string { return e.Source.String() + ": " + e.Err.Error() }

// Unwrap returns the reason.
func (e *ValueError) Unwrap() error { return e.Err }
