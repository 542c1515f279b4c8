package wire

// NodeToken is the name of a node as one token of a subject, of a key, or of a
// certificate's URI: Subject says how. No two names have the same one.
func NodeToken(node string) string { return token(node) }
