package access_test

import (
	"strings"
	"testing"

	"github.com/spotserve/spotserve/platform/access"
)

// TestKeysDiffer: nodes' names may hold what keys must not.
func TestKeysDiffer(t *testing.T) {
	seen := make(map[string]string)
	for _, node := range []string{"a", "A", "a.b", "a=2eb", "a=b", "a b", "10.0.0.1:80", "~", "a/b", "a_b", "a-b"} {
		k := access.AddressKey(node)
		if before, taken := seen[k]; taken {
			t.Errorf("%q and %q have the key %q", before, node, k)
		}
		seen[k] = node
		if strings.Trim(k, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=.") != "" {
			t.Errorf("%q has the key %q", node, k)
		}
	}
}
