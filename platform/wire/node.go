package wire

import "net/url"

// NodeToken is the name of a node as one token of a subject, or of a certificate's
// URI: Subject says how. No two names have the same one. A key of a bucket cannot
// hold it: there, "=" and lower case hexadecimal digits take the place of "%".
func NodeToken(node string) string { return token(node) }

// NodeOfToken is the inverse of NodeToken; ok is false for what NodeToken does not
// make.
func NodeOfToken(text string) (node string, ok bool) {
	if text == "%" {
		return "", true
	}
	node, err := url.PathUnescape(text)
	if err != nil || token(node) != text {
		return "", false
	}
	return node, true
}
